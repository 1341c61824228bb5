package agent

import (
	"testing"
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// TestPeer has a unit on another machine in each state.
func TestPeer(t *testing.T) {
	for _, test := range []struct {
		what                  string
		job                   store.Job
		state                 store.State
		settled, good, active bool
	}{
		{"not wanted", store.Job{Target: schema.Loaded}, store.State{Current: schema.Loaded, Active: "inactive"}, false, false, false},
		{"not wanted, and still there", store.Job{Target: schema.Loaded}, store.State{Current: schema.Launched, Active: "active"}, false, false, false},
		{"not yet started", store.Job{Target: schema.Launched}, store.State{Current: schema.Loaded, Active: "inactive"}, false, false, false},
		{"on its way", store.Job{Target: schema.Launched}, store.State{Current: schema.Launched, Active: "activating"}, false, false, false},
		{"active", store.Job{Target: schema.Launched}, store.State{Current: schema.Launched, Active: "active"}, true, true, true},
		{"failed", store.Job{Target: schema.Launched}, store.State{Current: schema.Launched, Active: "failed"}, true, false, false},
		{"ended well", store.Job{Target: schema.Launched}, store.State{Current: schema.Launched, Active: "inactive"}, true, true, false},
		{"with another file", store.Job{Target: schema.Launched, Hash: "new"}, store.State{Current: schema.Launched, Active: "active"}, false, false, false},
		{"finished", store.Job{Target: schema.Launched, Finished: "success"}, store.State{Current: schema.Loaded, Active: "inactive"}, true, true, false},
	} {
		p := &peer{job: &test.job, states: map[string]store.State{"m": test.state}}
		if p.is(settled) != test.settled || p.is(good) != test.good || p.is(active) != test.active {
			t.Errorf("%s: settled %t, good %t, active %t", test.what, p.is(settled), p.is(good), p.is(active))
		}
	}
}

// TestWaitsFor has a unit name one that is elsewhere, or may be.
func TestWaitsFor(t *testing.T) {
	launched := store.State{Current: schema.Launched, Active: "active"}
	failed := store.State{Current: schema.Launched, Active: "failed"}
	requires, binds, after := unitfile.Needs{Requires: []string{"b.service"}}, unitfile.Needs{BindsTo: []string{"b.service"}}, unitfile.Needs{After: []string{"b.service"}}
	for _, test := range []struct {
		what        string
		needs       unitfile.Needs
		peer        *peer
		standIn     bool
		waits, lost bool
	}{
		{"it was not read", requires, &peer{}, false, true, false},
		{"nothing is followed", after, nil, false, true, false},
		{"the cluster has none", requires, &peer{known: jobRead}, false, false, false},
		{"it is global", requires, &peer{known: jobRead, job: &store.Job{Global: true, Target: schema.Launched}}, false, false, false},
		{"nothing stands in", requires, elsewhere(schema.Launched, launched), false, true, false},
		{"it is active", requires, elsewhere(schema.Launched, launched), true, false, false},
		{"it has failed", requires, elsewhere(schema.Launched, failed), true, true, false},
		{"it was stopped", requires, elsewhere(schema.Loaded, launched), true, true, true},
		{"bound, it is active", binds, elsewhere(schema.Launched, launched), true, false, false},
		{"bound, it has failed", binds, elsewhere(schema.Launched, failed), true, true, true},
		{"bound, its states were not read", binds, &peer{known: jobRead, job: &store.Job{Target: schema.Launched}}, true, true, false},
		{"after, it has failed", after, elsewhere(schema.Launched, failed), false, false, false},
		{"after, it is not started", after, elsewhere(schema.Launched, store.State{}), false, true, false},
		{"after, nobody wants it", after, elsewhere(schema.Inactive, store.State{}), false, false, false},
	} {
		a := newAgent(t)
		if test.peer != nil {
			a.session.peers["b.service"] = test.peer
		}
		if test.standIn {
			a.units["b.service"] = &unit{installed: installed{hash: standInHash}, want: wanted(standInHash, schema.Loaded)}
		}
		u := &unit{installed: installed{hash: "x", run: started, needs: test.needs}}
		if other := a.waitsFor(t.Context(), "a.service", u); (other != "") != test.waits {
			t.Errorf("%s: waits for %q", test.what, other)
		}
		if lost := a.lostDependency(u); lost != test.lost {
			t.Errorf("%s: lost %t", test.what, lost)
		}
		if u.waitingSince = time.Now().Add(-orderTimeout); len(test.needs.After) > 0 && test.peer != nil && a.waitsFor(t.Context(), "a.service", u) != "" {
			t.Errorf("%s: waits for ever", test.what)
		}
	}
}

// elsewhere returns a unit that another machine has.
func elsewhere(target string, state store.State) *peer {
	return &peer{known: statesRead, job: &store.Job{Target: target}, states: map[string]store.State{"other": state}}
}
