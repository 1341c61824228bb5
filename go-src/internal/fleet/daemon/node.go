// Package daemon is fleet's daemon: a machine of the cluster, its share in leading it, and
// the API.
package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	fleetagent "coreos/internal/fleet/agent"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/membership"
	"coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// Node is a machine of the cluster.
type Node struct {
	Store    *store.Store
	ID       string
	Systemd  fleetagent.Systemd
	Describe func() store.Machine
	// TTL is how long the cluster waits for the machine after its last sign of life.
	TTL time.Duration
	// LeaseFile keeps the lease for the next run; "" does not.
	LeaseFile string
	// NoLeader is membership's.
	NoLeader func(context.Context) bool
	// Now is membership's; nil is the machine's.
	Now func() time.Duration
	// NoEngine keeps the machine from leading.
	NoEngine bool
	// KeepUnits keeps units running when the machine was cut off, though the cluster may
	// run them elsewhere by then.
	KeepUnits bool

	Metrics *Metrics
	Engine  *leader.Metrics
	Agent   *fleetagent.Metrics
}

// Run takes part in the cluster until the context ends. The units go on running then, and
// the lease is left to the next run.
func (n *Node) Run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	agent := fleetagent.New(n.Store, n.ID, n.Systemd, n.Agent)
	engine := &leader.Engine{Store: n.Store, ID: n.ID, Metrics: n.Engine}
	presence := &membership.Presence{Store: n.Store, ID: n.ID, TTL: n.TTL, Describe: n.Describe, LeaseFile: n.LeaseFile, NoLeader: n.NoLeader, Renewed: agent.Renewed, Now: n.Now}
	var all sync.WaitGroup
	all.Go(func() {
		if err := agent.Run(ctx); err != nil {
			end(fmt.Errorf("running units: %w", err))
		}
	})
	all.Go(func() {
		presence.Run(ctx, func(session context.Context, lease clientv3.LeaseID) {
			n.Metrics.joined()
			all.Go(func() { n.undrain(session) })
			agent.Session(session, lease, n.Describe().Metadata)
			if !n.NoEngine {
				all.Go(func() { engine.Run(session, lease) })
			}
		}, func() {
			n.Metrics.left()
			if !n.KeepUnits {
				agent.CutOff(ctx)
			}
		})
	})
	<-ctx.Done()
	all.Wait()
	return context.Cause(ctx)
}

// undrain ends a drain that was to last until the machine had started anew.
func (n *Node) undrain(ctx context.Context) {
	for {
		err := n.endDrain(ctx)
		if err == nil {
			return
		}
		slog.Warn("whether a drain has to end is not known", "error", err)
		if !pause.For(ctx, retry) {
			return
		}
	}
}

// retry is before the next attempt to end a drain.
const retry = 5 * time.Second

func (n *Node) endDrain(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, retry)
	defer stop()
	key := n.Store.Drain(n.ID)
	answer, err := n.Store.Get(ctx, key)
	if err != nil || len(answer.Kvs) == 0 {
		return err
	}
	drain, err := store.Decode[store.Drain](answer.Kvs[0].Value)
	if err != nil || drain.Boot == "" || drain.Boot == n.Describe().Boot {
		return err
	}
	unchanged := clientv3.Compare(clientv3.ModRevision(key), "=", answer.Kvs[0].ModRevision)
	if _, err := n.Store.Txn(ctx).If(unchanged).Then(clientv3.OpDelete(key)).Commit(); err != nil {
		return err
	}
	slog.Info("the drain has ended: the machine has started anew", "reason", drain.Reason)
	return nil
}
