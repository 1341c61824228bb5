// Package agent runs the units that the leader has assigned to one machine of a fleet
// cluster, and reports their states.
//
// Data flows one way. etcd and systemd send events to the agent's loop. An event changes what
// the agent knows of a unit: what is wanted, what is installed, which phase it is in. next
// compares the two and chooses an action. An executor, which sees nothing of the agent, carries
// the action out and ends with an event.
//
// The agent polls nothing: it watches etcd, and systemd reports changes. Units go on running
// while etcd is unreachable and after the agent has ended; Session says what happens when the
// machine's lease ends.
package agent

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// Agent runs the units of one machine.
type Agent struct {
	Store   *store.Store
	ID      string
	Systemd Systemd
	Metrics *Metrics

	events   chan event
	renewals chan struct{}
	// The loop alone uses what follows.
	units map[string]*unit
	// dependents has the units of this machine that name another unit in Requires=,
	// BindsTo= or After=, by the name of that other unit.
	dependents  map[string]map[string]bool
	session     *session
	publication publication
}

// New returns an agent.
func New(records *store.Store, id string, systemd Systemd, m *Metrics) *Agent {
	return &Agent{
		Store: records, ID: id, Systemd: systemd, Metrics: m,
		events: make(chan event), renewals: make(chan struct{}, 1),
		units: map[string]*unit{}, dependents: map[string]map[string]bool{}, publication: newPublication(),
	}
}

// Run runs units until the context ends. The units go on running after that.
func (a *Agent) Run(ctx context.Context) error {
	units, err := a.Systemd.Units(ctx)
	if err != nil {
		return err
	}
	for name, found := range units {
		a.units[name] = &unit{}
		a.link(name, adopt(name, found))
		a.readState(ctx, name)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e := <-a.events:
			e.handle(ctx, a)
		case name := <-a.Systemd.Changes():
			a.readState(ctx, name)
		case <-a.publication.timer.C:
			a.publish(ctx)
		case <-a.renewals:
			a.restartHalted(ctx)
		}
		a.Metrics.units(len(a.units))
	}
}

// send hands an event to the loop.
func (a *Agent) send(ctx context.Context, e event) {
	select {
	case a.events <- e:
	case <-ctx.Done():
	}
}

// lease returns the lease of the current session, 0 if there is none.
func (a *Agent) lease() clientv3.LeaseID {
	if a.session == nil || a.session.ctx.Err() != nil {
		return 0
	}
	return a.session.lease
}
