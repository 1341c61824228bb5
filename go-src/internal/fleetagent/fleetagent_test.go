package fleetagent

import (
	"context"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleetapi"
	"coreos/internal/fleetstore"
	"coreos/internal/fleetunit"
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
		job                   fleetstore.Job
		state                 fleetstore.State
		settled, good, active bool
	}{
		{"not wanted", fleetstore.Job{Target: fleetapi.Loaded}, fleetstore.State{Current: fleetapi.Loaded, Active: "inactive"}, false, false, false},
		{"not wanted, and still there", fleetstore.Job{Target: fleetapi.Loaded}, fleetstore.State{Current: fleetapi.Launched, Active: "active"}, false, false, false},
		{"not yet started", fleetstore.Job{Target: fleetapi.Launched}, fleetstore.State{Current: fleetapi.Loaded, Active: "inactive"}, false, false, false},
		{"on its way", fleetstore.Job{Target: fleetapi.Launched}, fleetstore.State{Current: fleetapi.Launched, Active: "activating"}, false, false, false},
		{"active", fleetstore.Job{Target: fleetapi.Launched}, fleetstore.State{Current: fleetapi.Launched, Active: "active"}, true, true, true},
		{"failed", fleetstore.Job{Target: fleetapi.Launched}, fleetstore.State{Current: fleetapi.Launched, Active: "failed"}, true, false, false},
		{"ended well", fleetstore.Job{Target: fleetapi.Launched}, fleetstore.State{Current: fleetapi.Launched, Active: "inactive"}, true, true, false},
		{"with another file", fleetstore.Job{Target: fleetapi.Launched, Hash: "new"}, fleetstore.State{Current: fleetapi.Launched, Active: "active"}, false, false, false},
		{"finished", fleetstore.Job{Target: fleetapi.Launched, Finished: "success"}, fleetstore.State{Current: fleetapi.Loaded, Active: "inactive"}, true, true, false},
	} {
		p := &peer{job: &test.job, states: map[string]fleetstore.State{"m": test.state}}
		if p.is(settled) != test.settled || p.is(good) != test.good || p.is(active) != test.active {
			t.Errorf("%s: settled %t, good %t, active %t", test.what, p.is(settled), p.is(good), p.is(active))
		}
	}
}

// TestWaits has a unit need one that is elsewhere, or is not known to be.
func TestWaits(t *testing.T) {
	launched := fleetstore.State{Current: fleetapi.Launched, Active: "active"}
	failed := fleetstore.State{Current: fleetapi.Launched, Active: "failed"}
	requires, binds, after := fleetunit.Needs{Requires: []string{"b.service"}}, fleetunit.Needs{BindsTo: []string{"b.service"}}, fleetunit.Needs{After: []string{"b.service"}}
	for _, test := range []struct {
		what          string
		needs         fleetunit.Needs
		peer          *peer
		standIn       bool
		waits, bereft bool
	}{
		{"it was not read", requires, &peer{}, false, true, false},
		{"nothing is followed", after, nil, false, true, false},
		{"the cluster has none", requires, &peer{read: true}, false, false, false},
		{"it is global", requires, &peer{read: true, job: &fleetstore.Job{Global: true, Target: fleetapi.Launched}}, false, false, false},
		{"nothing stands in", requires, elsewhere(fleetapi.Launched, launched), false, true, false},
		{"it is active", requires, elsewhere(fleetapi.Launched, launched), true, false, false},
		{"it has failed", requires, elsewhere(fleetapi.Launched, failed), true, true, false},
		{"it was stopped", requires, elsewhere(fleetapi.Loaded, launched), true, true, true},
		{"bound, it is active", binds, elsewhere(fleetapi.Launched, launched), true, false, false},
		{"bound, it has failed", binds, elsewhere(fleetapi.Launched, failed), true, true, true},
		{"after, it has failed", after, elsewhere(fleetapi.Launched, failed), false, false, false},
		{"after, it is not started", after, elsewhere(fleetapi.Launched, fleetstore.State{}), false, true, false},
		{"after, nobody wants it", after, elsewhere(fleetapi.Inactive, fleetstore.State{}), false, false, false},
	} {
		a := New(nil, "m", nil, NewMetrics())
		a.session = &session{ctx: t.Context(), peers: map[string]*peer{}}
		if test.peer != nil {
			a.session.peers["b.service"] = test.peer
		}
		if test.standIn {
			a.units["b.service"] = &unit{installed: installed{hash: standInHash}, want: want{Assignment: fleetstore.Assignment{Hash: standInHash, Target: fleetapi.Loaded}}}
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
func elsewhere(target string, state fleetstore.State) *peer {
	return &peer{read: true, statesRead: true, job: &fleetstore.Job{Target: target}, states: map[string]fleetstore.State{"other": state}}
}
