package agent

import (
	"context"
	"log/slog"
	"slices"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// peer is a unit that units of this machine name in Requires=, BindsTo= or After=, as etcd has
// it.
type peer struct {
	ctx  context.Context // ends when no unit names the peer any more
	stop context.CancelFunc
	// known is how much of it was read.
	known knowledge
	// job is nil if the cluster has no such unit, or the job was not read.
	job *store.Job
	// states are by machine. They are followed once there is a job; nil until then.
	states map[string]store.State
}

// knowledge is how much the agent has read about a peer. It only grows.
type knowledge int

const (
	nothing knowledge = iota
	jobRead
	statesRead // and the job
)

// followPeer begins to watch a unit that others depend on.
func (a *Agent) followPeer(name string) {
	s := a.session
	if s == nil || s.ctx.Err() != nil || s.peers[name] != nil {
		return
	}
	p := &peer{}
	p.ctx, p.stop = context.WithCancel(s.ctx)
	s.peers[name] = p
	go a.Store.FollowKey(p.ctx, a.Store.Job(name), a.receiver(p.ctx, s, fromJob, name))
}

// unfollowPeer stops watching a unit that no local unit depends on any more.
func (a *Agent) unfollowPeer(name string) {
	if p := a.peer(name); p != nil {
		p.stop()
		delete(a.session.peers, name)
	}
}

// peer returns a followed unit, nil if it is not followed.
func (a *Agent) peer(name string) *peer {
	if a.session == nil {
		return nil
	}
	return a.session.peers[name]
}

// updatePeer applies a batch of records about a peer.
func (a *Agent) updatePeer(e recordsChanged) {
	p := a.peer(e.peer)
	switch {
	case p == nil:
	case e.from == fromStates:
		p.updateStates(e.batch)
	default:
		p.updateJob(e.peer, e.batch)
		if p.inCluster() && p.states == nil {
			p.states = map[string]store.State{}
			go a.Store.Follow(p.ctx, a.Store.UnitStates(e.peer), a.receiver(p.ctx, e.session, fromStates, e.peer))
		}
	}
}

func (p *peer) updateJob(name string, batch store.Batch) {
	p.known = max(p.known, jobRead)
	var err error
	if p.job, err = store.Latest(batch, p.job); err != nil {
		slog.Warn("the job of a unit that others need cannot be read, and counts as missing", "unit", name, "error", err)
	}
}

func (p *peer) updateStates(batch store.Batch) {
	p.known = statesRead
	if batch.Reset {
		clear(p.states)
	}
	for _, event := range batch.Events {
		delete(p.states, event.Key)
		if event.Value == nil {
			continue
		}
		if state, err := store.Decode[store.State](event.Value); err == nil {
			p.states[event.Key] = state
		}
	}
}

// inCluster reports whether the leader places the unit. A global unit does not count: this
// machine has it as well, and systemd cares for it.
func (p *peer) inCluster() bool { return p != nil && p.job != nil && !p.job.Global }

// is reports whether the unit was started and is in a state that the function accepts.
func (p *peer) is(accepts func(store.State) bool) bool {
	if p.job.Target != schema.Launched {
		return false
	}
	for _, state := range p.states {
		if state.Hash == p.job.Hash && state.Current == schema.Launched && accepts(state) {
			return true
		}
	}
	return p.job.Finished != "" && accepts(store.State{Active: "inactive"})
}

// settled accepts a unit whose start has ended, good one whose start has ended and that has not
// failed, active one that runs.
func settled(s store.State) bool { return s.Active != "activating" }
func good(s store.State) bool    { return settled(s) && s.Active != "failed" }
func active(s store.State) bool {
	return slices.Contains([]string{"active", "reloading", "refreshing"}, s.Active)
}
