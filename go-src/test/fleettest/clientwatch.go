package fleettest

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watch implements clientv3.Watcher. An answer without events, which reports progress, comes only on
// request. etcd also sends one every ten minutes, which is longer than a history.
func (c *Client) Watch(ctx context.Context, key string, options ...clientv3.OpOption) clientv3.WatchChan {
	op := clientv3.OpGet(key, options...)
	answers := make(chan clientv3.WatchResponse)
	go func() {
		defer close(answers)
		next, seen, asked := op.Rev(), 0, false
		for ctx.Err() == nil {
			c.mu.Lock()
			asks := c.asks
			c.mu.Unlock()
			answer, advanced := c.etcd.since(op, next, &seen)
			delay, lost, heals := c.route()
			if lost {
				select {
				case <-heals:
				case <-time.After(giveUp):
				case <-ctx.Done():
				}
				return
			}
			if asked || len(answer.Events) > 0 {
				if !sleep(ctx, delay) {
					return
				}
				select {
				case answers <- answer:
					next = answer.Header.Revision + 1
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-advanced:
				asked = false
			case <-asks:
				asked = true
			case <-ctx.Done():
			}
		}
	}()
	return answers
}

// since returns the events of a range from a revision on, and a channel that is closed when there are
// more. seen is the length of the history that was read.
func (e *Etcd) since(op clientv3.Op, from int64, seen *int) (clientv3.WatchResponse, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := clientv3.WatchResponse{Header: e.header()}
	for _, event := range e.history[*seen:] {
		key, end := string(event.Kv.Key), string(op.RangeBytes())
		in := key == string(op.KeyBytes()) || end != "" && key >= string(op.KeyBytes()) && key < end
		if in && event.Kv.ModRevision >= from && (!op.IsFilterPut() || event.Type != clientv3.EventTypePut) {
			answer.Events = append(answer.Events, event)
		}
	}
	*seen = len(e.history)
	return answer, e.advanced
}

// RequestProgress implements clientv3.Watcher.
func (c *Client) RequestProgress(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.asks)
	c.asks = make(chan struct{})
	return nil
}
