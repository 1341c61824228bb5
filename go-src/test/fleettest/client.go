package fleettest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// Client is a connection to an Etcd over a simulated network.
type Client struct {
	etcd   *Etcd
	random *rand.Rand

	mu sync.Mutex
	// cut is set while no message arrives. slow is the longest time of a message, lossy the
	// share of messages that are lost.
	cut   bool
	slow  time.Duration
	lossy float64
	heals chan struct{} // closed when the connection is no longer cut
	asks  chan struct{} // closed when progress is requested
	// writes is the number of writes before the connection is cut; -1 is never. The cut comes
	// before the next write, or, if last is set, after it.
	writes int
	last   bool
}

var _ store.Etcd = (*Client)(nil)

// NewClient returns a connection. The seed decides its faults.
func (e *Etcd) NewClient(seed uint64) *Client {
	return &Client{etcd: e, random: rand.New(rand.NewPCG(seed, 1)), heals: make(chan struct{}), asks: make(chan struct{}), writes: -1}
}

// Cut cuts the connection, or heals it.
func (c *Client) Cut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut && !cut {
		close(c.heals)
		c.heals = make(chan struct{})
	}
	c.cut = cut
}

// CutAtWrite cuts the connection at the n-th write from now, counted from 0: before the write, or
// after it, so that only the answer is lost.
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

// write makes a write, unless the connection is cut before it.
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

// Disturb delays messages by up to a time, and loses a share of them.
func (c *Client) Disturb(slow time.Duration, lossy float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow, c.lossy = slow, lossy
}

// route decides how long a message takes, and whether it is lost.
func (c *Client) route() (delay time.Duration, lost bool, heals <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow > 0 {
		delay = time.Duration(c.random.Int64N(int64(c.slow)))
	}
	return delay, c.cut || c.random.Float64() < c.lossy, c.heals
}

// errAway is the error of a lost request, if its context does not end before.
var errAway = rpctypes.ErrTimeout

// giveUp is how long the client waits for an answer.
const giveUp = 5 * time.Second

// call sends a request. The request or the answer may be lost.
func (c *Client) call(ctx context.Context, ask func(*Etcd)) error {
	away := false
	for _, do := range []func(){func() {
		c.etcd.mu.Lock()
		defer c.etcd.mu.Unlock()
		if away = c.etcd.lost; !away {
			ask(c.etcd)
		}
	}, func() {}} {
		delay, lost, _ := c.route()
		lost = lost || away
		if lost {
			delay = giveUp
		}
		if delay > 0 && !sleep(ctx, delay) {
			return ctx.Err()
		}
		if lost {
			return errAway
		}
		do()
	}
	return ctx.Err()
}

// NoLeader reports whether etcd has no leader; false if it does not answer.
func (c *Client) NoLeader(ctx context.Context) bool {
	for range 2 {
		if delay, lost, _ := c.route(); lost || !sleep(ctx, delay) {
			return false
		}
	}
	c.etcd.mu.Lock()
	defer c.etcd.mu.Unlock()
	return c.etcd.lost
}

// Close implements clientv3.Watcher and clientv3.Lease.
func (c *Client) Close() error { return nil }

// Grant implements clientv3.Lease.
func (c *Client) Grant(ctx context.Context, seconds int64) (*clientv3.LeaseGrantResponse, error) {
	answer, refused := &clientv3.LeaseGrantResponse{TTL: seconds}, error(nil)
	err := c.call(ctx, func(e *Etcd) {
		if refused = e.refused(true); refused == nil {
			answer.ID = e.grant(seconds)
		}
	})
	return answer, errors.Join(err, refused)
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

// The methods below are those that fleet does not use.

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
