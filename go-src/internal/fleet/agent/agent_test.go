package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

func TestAdopt(t *testing.T) {
	for _, test := range []struct {
		name, text             string
		known, stays, once, is bool
	}{
		{"a.service", "[Service]\nExecStart=/bin/true\n", true, false, false, false},
		{"a.service", "[X-Fleet]\nMachineID=x\n", true, true, false, false},
		{"a.service", "[X-Fleet]\nGlobal=true\n", true, true, false, false},
		{"a.service", "[X-Fleet]\nRunOnce=true\n", true, false, true, false},
		{"a.service", "[X-Fleet]\nNonsense=true\n", true, false, false, false},
		{"a.service", "[Service]\n" + strings.Repeat("x", 3000), false, false, false, false},
		{"a.service", StandIn(), true, true, false, true},
		{"a.target", "[X-Fleet]\nGlobal=true\n", true, false, false, false},
	} {
		found := Found{Text: test.text, Launched: true}
		is := adopt(test.name, found)
		if (is.hash != unknown) != test.known || Stays(test.name, found) != test.stays || is.runOnce != test.once || is.isStandIn() != test.is || !is.launched {
			t.Errorf("%s with %q is adopted as %+v", test.name, test.text, is)
		}
	}
}

// TestPeer has a unit be elsewhere in all states.
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

// TestWaits has a unit need one that is elsewhere, or is not known to be.
func TestWaits(t *testing.T) {
	launched := store.State{Current: schema.Launched, Active: "active"}
	failed := store.State{Current: schema.Launched, Active: "failed"}
	requires, binds, after := unitfile.Needs{Requires: []string{"b.service"}}, unitfile.Needs{BindsTo: []string{"b.service"}}, unitfile.Needs{After: []string{"b.service"}}
	for _, test := range []struct {
		what          string
		needs         unitfile.Needs
		peer          *peer
		standIn       bool
		waits, bereft bool
	}{
		{"it was not read", requires, &peer{}, false, true, false},
		{"nothing is followed", after, nil, false, true, false},
		{"the cluster has none", requires, &peer{read: true}, false, false, false},
		{"it is global", requires, &peer{read: true, job: &store.Job{Global: true, Target: schema.Launched}}, false, false, false},
		{"nothing stands in", requires, elsewhere(schema.Launched, launched), false, true, false},
		{"it is active", requires, elsewhere(schema.Launched, launched), true, false, false},
		{"it has failed", requires, elsewhere(schema.Launched, failed), true, true, false},
		{"it was stopped", requires, elsewhere(schema.Loaded, launched), true, true, true},
		{"bound, it is active", binds, elsewhere(schema.Launched, launched), true, false, false},
		{"bound, it has failed", binds, elsewhere(schema.Launched, failed), true, true, true},
		{"after, it has failed", after, elsewhere(schema.Launched, failed), false, false, false},
		{"after, it is not started", after, elsewhere(schema.Launched, store.State{}), false, true, false},
		{"after, nobody wants it", after, elsewhere(schema.Inactive, store.State{}), false, false, false},
	} {
		a := New(nil, "m", nil, NewMetrics())
		a.session = &session{ctx: t.Context(), peers: map[string]*peer{}}
		if test.peer != nil {
			a.session.peers["b.service"] = test.peer
		}
		if test.standIn {
			a.units["b.service"] = &unit{installed: installed{hash: standInHash}, want: want{Assignment: store.Assignment{Hash: standInHash, Target: schema.Loaded}}}
		}
		u := &unit{installed: installed{hash: "x", launched: true, needs: test.needs}}
		ctx, stop := context.WithCancel(t.Context())
		if waits := a.waits(ctx, "a.service", u); (waits != "") != test.waits {
			t.Errorf("%s: waits for %q", test.what, waits)
		}
		if bereft := a.bereft(u); bereft != test.bereft {
			t.Errorf("%s: bereft %t", test.what, bereft)
		}
		if u.since = time.Now().Add(-orderTime); len(test.needs.After) > 0 && test.peer != nil && a.waits(ctx, "a.service", u) != "" {
			t.Errorf("%s: waits for ever", test.what)
		}
		stop()
	}
}

// elsewhere is a unit that another machine has.
func elsewhere(target string, state store.State) *peer {
	return &peer{read: true, statesRead: true, job: &store.Job{Target: target}, states: map[string]store.State{"other": state}}
}
