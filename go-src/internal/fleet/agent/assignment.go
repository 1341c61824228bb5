package agent

import (
	"context"
	"log/slog"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// update applies a batch of records. Once everything was read, it acts on the units that the
// batch concerns.
func (a *Agent) update(ctx context.Context, e recordsChanged) {
	s := a.session
	changed := map[string]bool{}
	switch e.from {
	case fromAgent:
		merge(s.assigned, e.batch, changed, decodeAssignment)
	case fromGlobals:
		merge(s.globals, e.batch, changed, decodeGlobal)
		s.pickGlobals(changed)
	case fromMetadata:
		s.setMetadata(e.batch)
		s.pickGlobals(changed)
	default:
		a.updatePeer(e)
		changed[e.peer] = true
	}
	if e.from < sources && !s.read[e.from] {
		s.read[e.from] = true
		a.addAll(changed)
	}
	if !s.complete() {
		return
	}
	for name := range changed {
		a.setWanted(ctx, name)
		a.actDependents(ctx, name)
	}
	a.startInstalled(ctx)
}

// addAll adds all units that the agent has heard of.
func (a *Agent) addAll(changed map[string]bool) {
	for name := range a.session.assigned {
		changed[name] = true
	}
	for name := range a.session.globals {
		changed[name] = true
	}
	for name := range a.units {
		changed[name] = true
	}
	for name := range a.dependents {
		changed[name] = true
	}
}

func decodeAssignment(data []byte, revision int64) (want, error) {
	assignment, err := store.Decode[store.Assignment](data)
	return want{Assignment: assignment, revision: revision}, err
}

func decodeGlobal(data []byte, revision int64) (want, error) {
	global, err := store.Decode[store.Global](data)
	requirements := unitfile.Requirements{Metadata: global.Metadata, Conflicts: global.Conflicts}
	return want{Assignment: global.Assignment, revision: revision, global: true, requirements: requirements}, err
}

// merge applies a batch to a map, and notes which units have changed.
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
			slog.Warn("the assignment of a unit cannot be read: submit the unit again", "unit", event.Key, "error", err)
			continue
		}
		all[event.Key] = w
	}
}

// setMetadata applies a batch with the metadata that the API has given to the machine. A batch
// without events, which etcd sends to report its progress, changes nothing.
func (s *session) setMetadata(batch store.Batch) {
	var err error
	if s.given, err = store.Latest(batch, s.given); err != nil {
		slog.Warn("the metadata that the API gave to this machine cannot be read", "error", err)
	}
	s.metadata = store.Overlay(s.own, s.given)
}

// setWanted sets what is wanted of a unit, and acts on it.
func (a *Agent) setWanted(ctx context.Context, name string) {
	w, there := a.wanted(name)
	u := a.units[name]
	if u == nil {
		if !there {
			return
		}
		u = &unit{}
		a.units[name] = u
	}
	if w.revision != u.want.revision {
		u.published = store.State{} // the leader has removed it with the last assignment
	}
	u.want = w
	a.markDirty(name)
	if u.phase == retrying {
		u.cancelRetry() // what failed may not be wanted any more
		a.resume(ctx, name)
		return
	}
	a.act(ctx, name)
}

// wanted returns what is wanted of a unit, by an assignment, as a global unit, or as a stand-in.
func (a *Agent) wanted(name string) (w want, there bool) {
	s := a.session
	if w, there := s.assigned[name]; there {
		return w, true
	}
	if s.runs[name] {
		return s.globals[name], true
	}
	if a.wantsStandIn(name) {
		return want{Assignment: store.Assignment{Hash: standInHash, Target: schema.Loaded}}, true
	}
	return want{}, false
}
