package agent

import (
	"testing"
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// TestRunState checks every transition of the states of an installed unit.
func TestRunState(t *testing.T) {
	for _, test := range []struct {
		state                  runState
		launched, unsure       bool
		failed, unlaunched     runState
		startedWhenWanted      bool
		stoppedWhenOnlyLoaded  bool
		startedAfterTheCascade bool
	}{
		{stopped, false, false, maybeStarted, stopped, true, false, true},
		{started, true, false, maybeStopped, stopped, false, true, true},
		{maybeStarted, false, true, maybeStarted, maybeStarted, true, true, true},
		{maybeStopped, true, true, maybeStopped, maybeStarted, true, true, true},
	} {
		if test.state.launched() != test.launched || test.state.unsure() != test.unsure {
			t.Errorf("%d: launched %t, unsure %t", test.state, test.state.launched(), test.state.unsure())
		}
		if test.state.failed() != test.failed || test.state.unlaunched() != test.unlaunched {
			t.Errorf("%d: after a failure %d, unlaunched %d", test.state, test.state.failed(), test.state.unlaunched())
		}
		u := &unit{installed: installed{hash: "x", run: test.state}}
		for target, want := range map[string]phase{
			schema.Launched: map[bool]phase{true: starting}[test.startedWhenWanted],
			schema.Loaded:   map[bool]phase{true: stopping}[test.stoppedWhenOnlyLoaded],
			schema.Inactive: removing,
		} {
			u.want = wanted("x", target)
			if next := newAgent(t).next(t.Context(), "a.service", u); next != want {
				t.Errorf("%d, wanted %s: %s, want %s", test.state, target, next, want)
			}
		}
		u.want, u.cascadeStopped = wanted("x", schema.Launched), true
		if u.mustStart() != test.startedAfterTheCascade {
			t.Errorf("%d, stopped with another unit: must start %t", test.state, u.mustStart())
		}
	}
}

// TestPhases checks what leads from one phase to another.
func TestPhases(t *testing.T) {
	begun := func(p phase) func(*unit) { return func(u *unit) { u.begin(p) } }
	reported := func(launched bool) func(*unit) { return func(u *unit) { u.observed(launched) } }
	for _, test := range []struct {
		what     string
		from     phase
		run      runState
		do       func(*unit)
		to       phase
		isBusy   bool
		cascades bool
	}{
		{"an action begins", idle, stopped, begun(starting), starting, true, false},
		{"an action begins on a halted unit", halted, started, begun(stopping), stopping, true, false},
		{"the guard has stopped a started unit", idle, started, reported(false), halted, false, true},
		{"the guard has stopped a unit that may be stopped", idle, maybeStopped, reported(false), halted, false, true},
		{"a stopped unit is not launched", idle, stopped, reported(false), idle, false, true},
		{"a started unit is launched", idle, started, reported(true), idle, false, true},
		{"a halted unit is launched after all", halted, started, reported(true), idle, false, true},
		{"a report during an action", stopping, started, reported(false), stopping, true, true},
		{"a report during the pause", retrying, started, reported(false), retrying, true, true},
		{"another state is wanted during the pause", retrying, stopped, (*unit).cancelRetry, idle, false, true},
		{"another state is wanted during an action", starting, stopped, func(u *unit) { u.retry = nil; u.cancelRetry() }, starting, true, true},
	} {
		u := &unit{installed: installed{run: test.run}, phase: test.from, cascadeStopped: true, waitingSince: time.Now(), retry: time.NewTimer(time.Hour)}
		test.do(u)
		if u.phase != test.to || u.phase.busy() != test.isBusy || u.cascadeStopped != test.cascades {
			t.Errorf("%s: %s, busy %t, stopped with another unit %t", test.what, u.phase, u.phase.busy(), u.cascadeStopped)
		}
	}
}

// TestNextWithoutAssignment checks when the agent removes an assignment that wants nothing.
func TestNextWithoutAssignment(t *testing.T) {
	for _, test := range []struct {
		what string
		want want
		unit unit
		next phase
	}{
		{"nothing is installed", want{revision: 7, Assignment: store.Assignment{Target: schema.Inactive}}, unit{}, releasing},
		{"it is released already", want{revision: 7, Assignment: store.Assignment{Target: schema.Inactive}}, unit{released: 7}, idle},
		{"an older one was released", want{revision: 7, Assignment: store.Assignment{Target: schema.Inactive}}, unit{released: 6}, releasing},
		{"it is global", want{revision: 7, global: true}, unit{}, idle},
		{"there is no assignment", want{}, unit{}, idle},
		{"it is installed", want{}, unit{installed: installed{hash: "x"}}, removing},
		{"another file is wanted", wanted("y", schema.Launched), unit{installed: installed{hash: "x", run: started}}, installing},
	} {
		test.unit.want = test.want
		if next := newAgent(t).next(t.Context(), "a.service", &test.unit); next != test.next {
			t.Errorf("%s: %s, want %s", test.what, next, test.next)
		}
	}
}

func wanted(hash, target string) want {
	return want{Assignment: store.Assignment{Hash: hash, Target: target}, revision: 1}
}

// newAgent returns an agent with a session that has a lease.
func newAgent(t *testing.T) *Agent {
	a := New(nil, "m", nil, NewMetrics())
	a.session = &session{ctx: t.Context(), lease: 1, peers: map[string]*peer{}}
	return a
}

// TestMetadata gives a session the batches of a watch.
func TestMetadata(t *testing.T) {
	s := &session{own: map[string]string{"region": "eu"}}
	for _, step := range []struct {
		what  string
		batch store.Batch
		want  string
	}{
		{"nothing is given", store.Batch{Reset: true}, ""},
		{"the API gives some", store.Batch{Events: []store.Event{{Value: []byte(`{"disk":"ssd"}`)}}}, "ssd"},
		{"etcd reports progress", store.Batch{}, "ssd"},
		{"they are replaced", store.Batch{Events: []store.Event{{Value: []byte(`{"disk":"hdd"}`)}}}, "hdd"},
		{"they are damaged", store.Batch{Events: []store.Event{{Value: []byte(`x`)}}}, ""},
		{"set and removed at once", store.Batch{Events: []store.Event{{Value: []byte(`{"disk":"ssd"}`)}, {}}}, ""},
		{"all is read again", store.Batch{Reset: true, Events: []store.Event{{Value: []byte(`{"disk":"ssd"}`)}}}, "ssd"},
		{"all is read again, and nothing is there", store.Batch{Reset: true}, ""},
	} {
		s.setMetadata(step.batch)
		if s.metadata["disk"] != step.want || s.metadata["region"] != "eu" {
			t.Errorf("%s: %v, want disk %q", step.what, s.metadata, step.want)
		}
	}
}
