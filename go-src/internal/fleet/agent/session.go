package agent

import (
	"context"
	"log/slog"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// session is the time of one lease.
type session struct {
	ctx   context.Context
	lease clientv3.LeaseID
	// assigned and globals are as etcd has them.
	assigned, globals map[string]want
	// metadata is the metadata of the machine's settings (own) with that of the API (given)
	// over it.
	own, given, metadata map[string]string
	// runs has the global units that this machine runs.
	runs  map[string]bool
	read  [sources]bool
	peers map[string]*peer
}

// source is a part of etcd that a session follows.
type source int

const (
	fromAgent source = iota
	fromGlobals
	fromMetadata
	sources // how many there are that say what the machine has to run

	fromJob    source = iota // of a peer
	fromStates               // of a peer
)

// Session makes the agent do what etcd says until the context ends. The context has to end with
// the machine's lease; metadata is that of the machine's settings. After the lease has ended
// the cluster may run the units on other machines: CutOff stops them here. Until CutOff is
// called nothing is stopped.
func (a *Agent) Session(ctx context.Context, lease clientv3.LeaseID, metadata map[string]string) {
	s := &session{
		ctx: ctx, lease: lease, own: metadata, metadata: metadata,
		assigned: map[string]want{}, globals: map[string]want{}, peers: map[string]*peer{},
	}
	a.send(ctx, sessionBegan{s})
	if ctx.Err() != nil {
		return
	}
	go a.Store.Follow(ctx, a.Store.Agent(a.ID), a.receiver(ctx, s, fromAgent, ""))
	go a.Store.Follow(ctx, a.Store.Globals(), a.receiver(ctx, s, fromGlobals, ""))
	go a.Store.FollowKey(ctx, a.Store.Metadata(a.ID), a.receiver(ctx, s, fromMetadata, ""))
}

// receiver returns a function that sends batches to the loop.
func (a *Agent) receiver(ctx context.Context, s *session, from source, peer string) func(store.Batch) {
	return func(batch store.Batch) { a.send(ctx, recordsChanged{s, from, peer, batch}) }
}

// CutOff stops the units that the cluster may run elsewhere now that the lease has ended.
func (a *Agent) CutOff(ctx context.Context) {
	ended, end := context.WithCancel(ctx)
	end()
	a.send(ctx, sessionBegan{&session{ctx: ended}})
}

// Renewed says that the machine's lease was renewed in time. It does not wait for the loop.
func (a *Agent) Renewed() {
	select {
	case a.renewals <- struct{}{}:
	default:
	}
}

// restartHalted starts the units that fleet-guard has stopped. The guard began before the lease
// was renewed, so the units still belong to this machine.
func (a *Agent) restartHalted(ctx context.Context) {
	for name, u := range a.units {
		if u.phase == halted {
			slog.Warn("a unit that fleet-guard stopped is started again", "unit", name)
			u.run, u.phase = u.run.unlaunched(), idle
			a.act(ctx, name)
		}
	}
}

// complete reports whether the session has read everything that says what the machine has to
// run.
func (s *session) complete() bool { return s != nil && s.read == [sources]bool{true, true, true} }

// beginSession begins a session. All states are published again, because etcd has removed them
// with the last lease.
func (a *Agent) beginSession(ctx context.Context, s *session) {
	a.session = s
	a.publication.schedule() // states that could not be written before
	for name, u := range a.units {
		u.published = store.State{}
		if s.ctx.Err() == nil {
			a.markDirty(name)
			continue
		}
		if u.bound || u.want.global {
			continue
		}
		if u.hash != "" {
			slog.Warn("stopping a unit: the machine's lease in etcd has ended and another machine may run it", "unit", name)
		}
		u.want = want{} // also of a unit that is not installed yet
		a.act(ctx, name)
	}
	for name := range a.dependents {
		a.followPeer(name)
	}
	a.startInstalled(ctx)
}
