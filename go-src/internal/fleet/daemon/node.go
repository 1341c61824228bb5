// Package daemon is fleetd: a machine of the cluster, a candidate for its leadership, and the
// server of the API.
package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/membership"
	"coreos/internal/fleet/store"
)

// Node is a machine of the cluster.
type Node struct {
	Store    *store.Store
	ID       string
	Systemd  agent.Systemd
	Describe func() store.Machine
	// TTL is how long the cluster waits for the machine after its last sign of life.
	TTL time.Duration
	// LeaseFile keeps the lease for the next run of the daemon; "" keeps it nowhere.
	LeaseFile string
	// NoLeader is the field of membership.Member.
	NoLeader func(context.Context) bool
	// Now is the field of membership.Member.
	Now func() time.Duration
	// NeverLeads keeps the machine from becoming the leader.
	NeverLeads bool
	// KeepUnits lets units run when the machine is cut off, although the cluster may run
	// them elsewhere.
	KeepUnits bool

	Metrics *Metrics
	Leader  *leader.Metrics
	Agent   *agent.Metrics
}

// Run takes part in the cluster until the context ends. The units go on running after that, and
// the lease stays for the next run.
func (n *Node) Run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	units := agent.New(n.Store, n.ID, n.Systemd, n.Agent)
	candidate := &leader.Candidate{Store: n.Store, ID: n.ID, Metrics: n.Leader}
	member := &membership.Member{Store: n.Store, ID: n.ID, TTL: n.TTL, Describe: n.Describe, LeaseFile: n.LeaseFile, NoLeader: n.NoLeader, Renewed: units.Renewed, Now: n.Now}
	var all sync.WaitGroup
	all.Go(func() {
		if err := units.Run(ctx); err != nil {
			end(fmt.Errorf("running units: %w", err))
		}
	})
	all.Go(func() {
		member.Run(ctx, func(session context.Context, lease clientv3.LeaseID) {
			n.Metrics.joined()
			all.Go(func() { n.undrain(session) })
			units.Session(session, lease, n.Describe().Metadata)
			if !n.NeverLeads {
				all.Go(func() { candidate.Run(session, lease) })
			}
		}, func() {
			n.Metrics.left()
			if !n.KeepUnits {
				units.CutOff(ctx)
			}
		})
	})
	<-ctx.Done()
	all.Wait()
	return context.Cause(ctx)
}
