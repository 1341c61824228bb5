package agent

import (
	"context"
	"log/slog"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// session is a time with a lease.
type session struct {
	ctx     context.Context
	lease   clientv3.LeaseID
	updates chan update
	// assigned, globals and metadata are as etcd has them; read says which were read.
	assigned, globals map[string]want
	// runs are those of globals that this machine runs.
	runs          map[string]bool
	own, metadata map[string]string
	read          [3]bool
	peers         map[string]*peer
}

// update is a batch from one of the prefixes that are followed: three, and two of each peer.
type update struct {
	from  int
	batch store.Batch
	peer  string
}

const (
	fromAgent = iota
	fromGlobals
	fromMetadata
	fromJob
	fromStates
)

// Session has the agent do what etcd says for as long as the context, which has to end
// with the machine's lease. metadata are the machine's own. When the lease ended the
// cluster may give the units to other machines: CutOff stops them. In between nothing is
// stopped.
func (a *Agent) Session(ctx context.Context, lease clientv3.LeaseID, metadata map[string]string) {
	s := &session{ctx: ctx, lease: lease, updates: make(chan update), own: metadata, metadata: metadata, assigned: map[string]want{}, globals: map[string]want{}, peers: map[string]*peer{}}
	select {
	case a.sessions <- s:
	case <-ctx.Done():
		return
	}
	for from, prefix := range []string{a.Store.Agent(a.ID), a.Store.Globals(), a.Store.Metadata(a.ID)} {
		go a.Store.Follow(ctx, prefix, s.updater(ctx, from, ""))
	}
}

// updater passes batches on.
func (s *session) updater(ctx context.Context, from int, peer string) func(store.Batch) {
	return func(batch store.Batch) {
		select {
		case s.updates <- update{from, batch, peer}:
		case <-ctx.Done():
		}
	}
}

// Renewed says that the machine's lease was renewed in time.
func (a *Agent) Renewed() {
	select {
	case a.renewals <- struct{}{}:
	default:
	}
}

// renewed starts units that the guard stopped: it had begun before the last lease was there.
func (a *Agent) renewed(ctx context.Context) {
	for name, u := range a.units {
		if u.halted {
			slog.Warn("a unit that fleet-guard stopped is started again", "unit", name)
			u.launched, u.halted = false, false
			a.act(ctx, name)
		}
	}
}

// CutOff stops units that the cluster may run elsewhere since the lease has ended.
func (a *Agent) CutOff(ctx context.Context) {
	ended, end := context.WithCancel(ctx)
	end()
	select {
	case a.sessions <- &session{ctx: ended}:
	case <-ctx.Done():
	}
}

// complete reports whether all was read that says what the machine has to run.
func (s *session) complete() bool { return s != nil && s.read == [3]bool{true, true, true} }

// updated is where updates come from; never while there is no session.
func (s *session) updated() <-chan update {
	if s == nil {
		return nil
	}
	return s.updates
}

// begin begins a session. States that etcd had went with the last lease.
func (a *Agent) begin(ctx context.Context, s *session) {
	a.session = s
	a.timer.Reset(collect) // for what could not be written before
	for name, u := range a.units {
		u.published = store.State{}
		if s.ctx.Err() == nil {
			a.soil(name)
			continue
		}
		if u.bound || u.want.global {
			continue
		}
		if u.hash != "" {
			slog.Warn("stopping a unit: the machine's lease in etcd has ended and another machine may run it", "unit", name)
		}
		u.want = want{} // of one that is being installed, too
		a.act(ctx, name)
	}
	for name := range a.needed {
		a.meet(name)
	}
	a.arrived(ctx)
}

// update takes over what etcd says, and acts once all was read.
func (a *Agent) update(ctx context.Context, up update) {
	s := a.session
	changed := map[string]bool{}
	switch up.from {
	case fromAgent:
		merge(s.assigned, up.batch, changed, func(data []byte, revision int64) (want, error) {
			assignment, err := store.Decode[store.Assignment](data)
			return want{Assignment: assignment, revision: revision}, err
		})
	case fromGlobals:
		merge(s.globals, up.batch, changed, func(data []byte, revision int64) (want, error) {
			global, err := store.Decode[store.Global](data)
			requirements := unitfile.Requirements{Metadata: global.Metadata, Conflicts: global.Conflicts}
			return want{Assignment: global.Assignment, revision: revision, global: true, requirements: requirements}, err
		})
		s.pick(changed)
	case fromMetadata:
		s.describe(up.batch)
		s.pick(changed)
	default:
		a.updatePeer(up)
		changed[up.peer] = true
	}
	if up.from < len(s.read) && !s.read[up.from] {
		s.read[up.from] = true
		for _, all := range []map[string]want{s.assigned, s.globals} {
			for name := range all {
				changed[name] = true
			}
		}
		for name := range a.units {
			changed[name] = true
		}
		for name := range a.needed {
			changed[name] = true
		}
	}
	if !s.complete() {
		return
	}
	for name := range changed {
		a.want(ctx, name)
		a.actNeedy(ctx, name)
	}
	a.arrived(ctx)
}

// merge takes a batch over, and notes which units changed.
func merge(all map[string]want, batch store.Batch, changed map[string]bool, decode func([]byte, int64) (want, error)) {
	if batch.Reset {
		for name := range all {
			changed[name] = true
		}
		clear(all)
	}
	for _, event := range batch.Events {
		changed[event.Key] = true
		delete(all, event.Key)
		if event.Value == nil {
			continue
		}
		w, err := decode(event.Value, event.Revision)
		if err != nil {
			slog.Warn("what is to be done with a unit cannot be read: submit it again", "unit", event.Key, "error", err)
			continue
		}
		all[event.Key] = w
	}
}

// describe takes over the metadata that the API gave to the machine.
func (s *session) describe(batch store.Batch) {
	given := map[string]string{}
	for _, event := range batch.Events {
		if event.Key != "" || event.Value == nil {
			continue
		}
		var err error
		if given, err = store.Decode[map[string]string](event.Value); err != nil {
			slog.Warn("the metadata that the API gave to this machine cannot be read", "error", err)
		}
	}
	s.metadata = store.Overlay(s.own, given)
}

// want sets what a unit has to be, and has it become that.
func (a *Agent) want(ctx context.Context, name string) {
	s := a.session
	w, there := s.assigned[name]
	if !there && s.runs[name] {
		w, there = s.globals[name], true
	}
	if !there && a.standsIn(name) {
		w, there = want{Assignment: store.Assignment{Hash: standInHash, Target: schema.Loaded}}, true
	}
	u := a.units[name]
	if u == nil {
		if !there {
			return
		}
		u = &unit{}
		a.units[name] = u
	}
	if w.revision != u.want.revision {
		u.published = store.State{} // it went with the last assignment
	}
	u.want = w
	if u.pause != nil && u.pause.Stop() { // what failed may not be wanted any longer
		u.busy, u.pause = false, nil
	}
	a.soil(name)
	a.act(ctx, name)
}
