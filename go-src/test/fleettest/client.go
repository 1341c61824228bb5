package fleettest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// Client is a machine's connection to an Etcd, with a network in between.
type Client struct {
	etcd   *Etcd
	random *rand.Rand

	mu sync.Mutex
	// cut is whether nothing goes through, slow how long a message may take at most, and
	// lossy the share of answers that are lost.
	cut   bool
	slow  time.Duration
	lossy float64
	heals chan struct{} // closed when it is no longer cut
	asks  chan struct{} // closed when progress is asked for
	// writes are those left until the one with which the connection is cut, either before
	// it is done or, if last, after it; -1 is never.
	writes int
	last   bool
}

var _ store.Etcd = (*Client)(nil)

// NewClient returns a connection. Its faults come from the seed.
func (e *Etcd) NewClient(seed uint64) *Client {
	return &Client{etcd: e, random: rand.New(rand.NewPCG(seed, 1)), heals: make(chan struct{}), asks: make(chan struct{}), writes: -1}
}

// Cut has nothing go through, or all again.
func (c *Client) Cut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut && !cut {
		close(c.heals)
		c.heals = make(chan struct{})
	}
	c.cut = cut
}

// CutAtWrite cuts the connection with a later write, 0 being the next: before it is done, or
// after, so that the answer is lost.
func (c *Client) CutAtWrite(n int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes, c.last = n, after
}

// WasCut reports whether that write has come.
func (c *Client) WasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes < 0
}

// write does a write, or not, if the connection is cut with it.
func (c *Client) write(do func()) {
	c.mu.Lock()
	cut := c.writes == 0
	after := c.last
	c.writes = max(c.writes-1, -1)
	c.mu.Unlock()
	if !cut || after {
		do()
	}
	if cut {
		c.Cut(true)
	}
}

// Disturb has messages take up to a time, and a share of answers be lost.
func (c *Client) Disturb(slow time.Duration, lossy float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow, c.lossy = slow, lossy
}

// way is what a message meets: how long it takes, and whether it is lost.
func (c *Client) way() (delay time.Duration, lost bool, heals <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow > 0 {
		delay = time.Duration(c.random.Int64N(int64(c.slow)))
	}
	return delay, c.cut || c.random.Float64() < c.lossy, c.heals
}

// errAway is what a request that is lost ends with, if its context does not end before.
var errAway = rpctypes.ErrTimeout

// giveUp is how long the connection waits for an answer.
const giveUp = 5 * time.Second

// call asks etcd. The question may be lost, or the answer.
func (c *Client) call(ctx context.Context, ask func(*Etcd)) error {
	away := false
	for _, do := range []func(){func() {
		c.etcd.mu.Lock()
		defer c.etcd.mu.Unlock()
		if away = c.etcd.lost; !away {
			ask(c.etcd)
		}
	}, func() {}} {
		delay, lost, _ := c.way()
		lost = lost || away
		if lost {
			delay = giveUp
		}
		if delay > 0 && !pause.For(ctx, delay) {
			return ctx.Err()
		}
		if lost {
			return errAway
		}
		do()
	}
	return ctx.Err()
}

// NoLeader asks the members whether they have a leader.
func (c *Client) NoLeader(ctx context.Context) bool {
	for range 2 {
		if delay, lost, _ := c.way(); lost || !pause.For(ctx, delay) {
			return false
		}
	}
	c.etcd.mu.Lock()
	defer c.etcd.mu.Unlock()
	return c.etcd.lost
}

// Watch implements clientv3.Watcher.
func (c *Client) Watch(ctx context.Context, key string, options ...clientv3.OpOption) clientv3.WatchChan {
	op := clientv3.OpGet(key, options...)
	answers := make(chan clientv3.WatchResponse)
	go func() {
		defer close(answers)
		next, seen := op.Rev(), 0
		for ctx.Err() == nil {
			c.mu.Lock()
			asks := c.asks
			c.mu.Unlock()
			answer, advanced := c.etcd.since(op, next, &seen)
			delay, lost, heals := c.way()
			if lost {
				select {
				case <-heals:
				case <-time.After(giveUp):
				case <-ctx.Done():
				}
				return
			}
			if !pause.For(ctx, delay) {
				return
			}
			select {
			case answers <- answer:
				next = answer.Header.Revision + 1
			case <-ctx.Done():
				return
			}
			select {
			case <-advanced:
			case <-asks:
			case <-ctx.Done():
			}
		}
	}()
	return answers
}

// since returns the events of a range from a revision on, and what tells of more. seen is
// how much of the history was looked at.
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

// Close implements clientv3.Watcher and clientv3.Lease.
func (c *Client) Close() error { return nil }

// Get implements clientv3.KV.
func (c *Client) Get(ctx context.Context, key string, options ...clientv3.OpOption) (answer *clientv3.GetResponse, err error) {
	err = c.call(ctx, func(e *Etcd) { answer = (*clientv3.GetResponse)(e.get(clientv3.OpGet(key, options...))) })
	return answer, err
}

// Put implements clientv3.KV.
func (c *Client) Put(ctx context.Context, key, value string, options ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	_, err := c.Txn(ctx).Then(clientv3.OpPut(key, value, options...)).Commit()
	return &clientv3.PutResponse{}, err
}

// Delete implements clientv3.KV.
func (c *Client) Delete(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	_, err := c.Txn(ctx).Then(clientv3.OpDelete(key, options...)).Commit()
	return &clientv3.DeleteResponse{}, err
}

// Do implements clientv3.KV, for puts.
func (c *Client) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	_, err := c.Txn(ctx).Then(op).Commit()
	return clientv3.OpResponse{}, err
}

// Txn implements clientv3.KV.
func (c *Client) Txn(ctx context.Context) clientv3.Txn { return &txn{client: c, ctx: ctx} }

type txn struct {
	client   *Client
	ctx      context.Context
	is       []clientv3.Cmp
	then, or []clientv3.Op
}

func (t *txn) If(is ...clientv3.Cmp) clientv3.Txn   { t.is = is; return t }
func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn { t.then = ops; return t }
func (t *txn) Else(ops ...clientv3.Op) clientv3.Txn { t.or = ops; return t }
func (t *txn) Commit() (answer *clientv3.TxnResponse, err error) {
	var refused error
	err = t.client.call(t.ctx, func(e *Etcd) {
		t.client.write(func() {
			response, err := e.txn(t.is, t.then, t.or)
			answer, refused = (*clientv3.TxnResponse)(response), err
		})
	})
	if err == nil {
		err = refused
	}
	return answer, err
}

// Grant implements clientv3.Lease.
func (c *Client) Grant(ctx context.Context, seconds int64) (*clientv3.LeaseGrantResponse, error) {
	answer := &clientv3.LeaseGrantResponse{TTL: seconds}
	return answer, c.call(ctx, func(e *Etcd) { answer.ID = e.grant(seconds) })
}

// Revoke implements clientv3.Lease.
func (c *Client) Revoke(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	known := false
	if err := c.call(ctx, func(e *Etcd) { known = e.revoke(id) }); err != nil {
		return nil, err
	}
	if !known {
		return nil, rpctypes.ErrLeaseNotFound
	}
	return &clientv3.LeaseRevokeResponse{}, nil
}

// TimeToLive implements clientv3.Lease.
func (c *Client) TimeToLive(ctx context.Context, id clientv3.LeaseID, _ ...clientv3.LeaseOption) (*clientv3.LeaseTimeToLiveResponse, error) {
	answer := &clientv3.LeaseTimeToLiveResponse{ID: id, TTL: -1}
	return answer, c.call(ctx, func(e *Etcd) {
		if l := e.leases[id]; l != nil {
			answer.TTL, answer.GrantedTTL = int64(time.Until(l.until)/time.Second), int64(l.ttl/time.Second)
		}
	})
}

// KeepAliveOnce implements clientv3.Lease.
func (c *Client) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	answer, known := &clientv3.LeaseKeepAliveResponse{ID: id}, false
	if err := c.call(ctx, func(e *Etcd) {
		var ttl time.Duration
		ttl, known = e.renew(id)
		answer.TTL = int64(ttl / time.Second)
	}); err != nil {
		return nil, err
	}
	if !known {
		return nil, rpctypes.ErrLeaseNotFound
	}
	return answer, nil
}

// What fleet does not use.

func (c *Client) GetStream(context.Context, string, ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	panic("not simulated")
}

func (c *Client) Compact(context.Context, int64, ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	panic("not simulated")
}

func (c *Client) Leases(context.Context) (*clientv3.LeaseLeasesResponse, error) {
	panic("not simulated")
}

func (c *Client) KeepAlive(context.Context, clientv3.LeaseID) (<-chan *clientv3.LeaseKeepAliveResponse, error) {
	panic("not simulated")
}
