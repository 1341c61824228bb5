package blackbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/test/suite"
)

// observer writes to etcd all the time.
type observer struct {
	cancel context.CancelFunc
	// attempt bounds an attempt to write: no member may keep one for longer than a new
	// leader takes.
	attempt time.Duration
	done    chan struct{}
	mu      sync.Mutex
	writes  int
	worst   time.Duration // until a write was taken, with its repetitions
	failed  int           // attempts that were not
}

func (c *cluster) observe() *observer {
	ctx, cancel := context.WithCancel(c.t.Context)
	o := &observer{cancel: cancel, attempt: 2 * c.election, done: make(chan struct{})}
	clients := []*clientv3.Client{c.etcd(c.nodes[0]), c.etcd(c.nodes[1]), c.etcd(c.nodes[2])}
	go func() {
		defer close(o.done)
		for n := 0; ctx.Err() == nil; n++ {
			o.write(ctx, clients, n)
		}
	}()
	c.t.Cleanup(o.end)
	return o
}

// write writes until a write succeeds, each time by another node.
func (o *observer) write(ctx context.Context, clients []*clientv3.Client, n int) {
	start := time.Now()
	for at := n; ctx.Err() == nil; at++ {
		attempt, cancel := context.WithTimeout(ctx, o.attempt)
		_, err := clients[at%len(clients)].Put(attempt, "observer", fmt.Sprint(n))
		cancel()
		o.mu.Lock()
		if err == nil {
			o.writes, o.worst = n+1, max(o.worst, time.Since(start))
		} else {
			o.failed++
		}
		o.mu.Unlock()
		if err == nil {
			break
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

func (o *observer) end() {
	o.cancel()
	<-o.done
}

func (o *observer) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writes
}

// wantWrites waits until so many more writes have succeeded.
func (o *observer) wantWrites(t *suite.T, more int) {
	t.Helper()
	for until := o.count() + more; o.count() < until; {
		select {
		case <-t.Context.Done():
			t.Fatalf("etcd takes no writes: %d of %d", o.count(), until)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// wantNoGap checks that no write took longer than etcd needs to find that a leader is
// gone, elect another, and the client to ask that.
func (o *observer) wantNoGap(t *suite.T) {
	t.Helper()
	o.end()
	t.Logf("%d writes, %d attempts failed, the slowest write took %.1f s", o.writes, o.failed, o.worst.Seconds())
	// An attempt that begins before there is a leader is lost, and the next takes time, too.
	if limit := 3 * o.attempt; o.worst > limit {
		t.Errorf("a write took %s, more than %s", o.worst, limit)
	}
}
