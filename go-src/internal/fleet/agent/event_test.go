package agent

import (
	"context"
	"testing"
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// TestOldStates gives the agent reports of systemd from before and after an action.
func TestOldStates(t *testing.T) {
	a := newAgent(t)
	u := &unit{installed: installed{hash: "x"}, want: wanted("x", schema.Loaded), phase: starting}
	a.units["a.service"] = u
	// No other event is on its way to the loop: the state is not read, and the unit needs nothing.
	ended, end := context.WithCancel(t.Context())
	end()
	a.Systemd = silentSystemd{}
	before := u.actions
	actionEnded{"a.service", &installed{hash: "x"}, nil}.handle(ended, a)
	for _, test := range []struct {
		what    string
		state   State
		actions int
		active  string
	}{
		{"before the action", State{Active: "old"}, before, ""},
		{"with a start that is pending", State{Active: "pending", Pending: true}, u.actions, ""},
		{"after the action", State{Active: "new"}, u.actions, "new"},
	} {
		stateRead{"a.service", test.state, test.actions}.handle(ended, a)
		if u.current.Active != test.active {
			t.Errorf("%s: %q, want %q", test.what, u.current.Active, test.active)
		}
	}
}

type silentSystemd struct{ Systemd }

func (silentSystemd) State(context.Context, string) (State, error) { return State{}, nil }
func (silentSystemd) Start(context.Context, string) error          { return nil }

// TestPauseEnds ends the pause after an action on back.service failed that is no longer wanted: the
// agent began to remove the stand-in, which is needed again. Nothing is left to do, and front.service,
// which waits for back.service, has to be started.
func TestPauseEnds(t *testing.T) {
	for what, end := range map[string]func(context.Context, *Agent){
		"in time":                        func(ctx context.Context, a *Agent) { retryDue{"back.service"}.handle(ctx, a) },
		"because what is wanted changes": func(ctx context.Context, a *Agent) { a.setWanted(ctx, "back.service") },
	} {
		a := newAgent(t)
		a.Systemd = silentSystemd{}
		front := &unit{installed: installed{hash: "x"}, want: wanted("x", schema.Launched)}
		back := &unit{installed: installed{hash: standInHash, run: maybeStarted}, want: wanted(standInHash, schema.Loaded), phase: retrying, retry: time.NewTimer(time.Hour)}
		a.units["front.service"], a.units["back.service"] = front, back
		a.session.peers["back.service"] = elsewhere(schema.Launched, store.State{Current: schema.Launched, Active: "active"})
		a.link("front.service", installed{hash: "x", needs: unitfile.Needs{Requires: []string{"back.service"}}})
		ended, stop := context.WithCancel(t.Context())
		stop()
		if a.act(ended, "front.service"); front.waitsFor != "back.service" || front.phase != idle {
			t.Fatalf("%s: waits for %q, %s", what, front.waitsFor, front.phase)
		}
		if end(ended, a); front.phase != starting {
			t.Errorf("%s: waits for %q, %s", what, front.waitsFor, front.phase)
		}
	}
}

// TestRecordsOfSessions gives the agent records of the current session and of the one before.
func TestRecordsOfSessions(t *testing.T) {
	a := newAgent(t)
	a.session.assigned = map[string]want{}
	batch := store.Batch{Reset: true, Events: []store.Event{{Key: "a.service", Value: []byte(`{"target":"launched"}`), Revision: 1}}}
	recordsChanged{session: &session{}, from: fromAgent, batch: batch}.handle(t.Context(), a)
	if len(a.session.assigned) != 0 || a.session.read != [sources]bool{} {
		t.Errorf("records of the last session count: %+v", a.session)
	}
	recordsChanged{session: a.session, from: fromAgent, batch: batch}.handle(t.Context(), a)
	if len(a.session.assigned) != 1 || !a.session.read[fromAgent] {
		t.Errorf("records of the session do not count: %+v", a.session)
	}
	if len(a.units) != 0 {
		t.Error("the agent acts before it has read the global units and the metadata")
	}
	recordsChanged{session: a.session, from: fromMetadata, batch: store.Batch{Reset: true}}.handle(t.Context(), a)
	if len(a.units) != 0 {
		t.Error("the agent acts before it has read the global units")
	}
}

// TestConflict has another unit in each state.
func TestConflict(t *testing.T) {
	for _, test := range []struct {
		run       runState
		phase     phase
		conflicts bool
	}{
		{stopped, idle, false}, {stopped, halted, false}, {stopped, starting, true}, {stopped, retrying, true},
		{started, idle, true}, {maybeStarted, idle, true}, {maybeStopped, idle, true}, {started, halted, true},
	} {
		a := newAgent(t)
		u := &unit{installed: installed{hash: "x", conflicts: []string{"b*"}}}
		a.units["a.service"], a.units["b.service"] = u, &unit{installed: installed{hash: "y", run: test.run}, phase: test.phase}
		if other := a.conflict("a.service", u); (other == "b.service") != test.conflicts {
			t.Errorf("run %d, %s: conflicts with %q", test.run, test.phase, other)
		}
	}
}
