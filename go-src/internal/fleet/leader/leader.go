// Package leader assigns the units of a fleet cluster to machines. One machine at a time is the
// leader.
//
// A unit never runs on two machines. To move a unit away from a live machine, the leader first
// sets its assignment there to inactive. When the machine has removed that assignment, the
// leader assigns the unit to the next machine. Each step is one transaction, which succeeds only
// if the unit's job is unchanged and this machine still leads. A step follows from the records
// in etcd alone, so the next leader can continue wherever the last one stopped.
package leader

import (
	"context"
	"errors"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
	"coreos/internal/host/warning"
)

// Candidate leads the cluster whenever this machine is elected.
type Candidate struct {
	Store *store.Store
	// ID is the ID of this machine.
	ID      string
	Metrics *Metrics
}

// retryTime is the pause before the next attempt after an error of etcd.
const retryTime = time.Second

// errNotLeader ends a leadership.
var errNotLeader = errors.New("another machine leads")

// Run campaigns and leads until the context ends. The context has to end with the lease.
func (c *Candidate) Run(ctx context.Context, lease clientv3.LeaseID) {
	var failed warning.Repeated
	for ctx.Err() == nil {
		term, err := campaign(ctx, c.Store, lease, c.ID)
		if err == nil {
			slog.Info("this machine is the leader: it assigns units to machines")
			failed.Over()
			c.Metrics.leads(true)
			err = c.lead(ctx, term)
			c.Metrics.leads(false)
		}
		if ctx.Err() == nil {
			failed.Warn("this machine is not the leader", err)
		}
		select {
		case <-time.After(retryTime):
		case <-ctx.Done():
		}
	}
}

// lead assigns units until another machine leads. All batches that have arrived go into one
// plan.
func (c *Candidate) lead(ctx context.Context, term int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan store.Batch, 256)
	go func() {
		defer close(batches)
		c.Store.Follow(ctx, c.Store.Cluster(), func(batch store.Batch) {
			select {
			case batches <- batch:
			case <-ctx.Done():
			}
		})
	}()
	l := newLeadership(c, term)
	for batch := range batches {
		l.apply(batch)
		for more := true; more; {
			select {
			case batch, more = <-batches:
				if more {
					l.apply(batch)
				}
			default:
				more = false
			}
		}
		if err := l.plan(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}
