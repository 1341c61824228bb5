package agent

import (
	"context"
	"errors"
	"testing"

	"coreos/internal/fleet/schema"
)

// faultySystemd fails in one of its calls.
type faultySystemd struct {
	Systemd
	fails string
}

func (s faultySystemd) call(name string) error {
	if s.fails == name {
		return errors.New("systemd is not well")
	}
	return nil
}

func (s faultySystemd) Start(context.Context, string) error           { return s.call("start") }
func (s faultySystemd) Stop(context.Context, string) error            { return s.call("stop") }
func (s faultySystemd) Remove(context.Context, string) error          { return s.call("remove") }
func (s faultySystemd) Install(context.Context, string, string) error { return s.call("install") }

// TestExecutor checks what is known to be installed after each action, and after each call that
// fails in it.
func TestExecutor(t *testing.T) {
	old := func(run runState) installed { return installed{hash: "old", run: run} }
	for _, test := range []struct {
		action phase
		fails  string
		is     installed
		hash   string
		run    runState
	}{
		{starting, "", old(stopped), "old", started},
		{starting, "", old(maybeStopped), "old", started},
		{starting, "start", old(stopped), "old", maybeStarted},
		{starting, "start", old(started), "old", maybeStopped},
		{stopping, "", old(started), "old", stopped},
		{stopping, "", old(maybeStarted), "old", stopped},
		{stopping, "stop", old(started), "old", maybeStopped},
		{stopping, "stop", old(maybeStarted), "old", maybeStarted},
		{removing, "", old(started), "", stopped},
		{removing, "stop", old(started), "old", maybeStopped},
		{removing, "remove", old(started), unknown, stopped},
		{installing, "", installed{}, standInHash, stopped},
		{installing, "", old(started), standInHash, stopped},
		{installing, "stop", old(started), "old", maybeStopped},
		{installing, "install", installed{}, unknown, stopped},
		{installing, "install", old(started), unknown, stopped},
		{installing, "install", old(maybeStopped), unknown, maybeStarted},
	} {
		x := executor{systemd: faultySystemd{fails: test.fails}}
		event := x.do(t.Context(), task{name: "a.service", action: test.action, is: test.is, want: wanted(standInHash, schema.Loaded)})
		end, ok := event.(actionEnded)
		if !ok || end.unit != "a.service" || end.installed == nil || (end.err != nil) != (test.fails != "") {
			t.Errorf("%s, %q fails: %+v", test.action, test.fails, event)
			continue
		}
		if end.installed.hash != test.hash || end.installed.run != test.run {
			t.Errorf("%s, %q fails: %+v, want hash %s, run %d", test.action, test.fails, end.installed, test.hash, test.run)
		}
	}
}

// TestExecutorWithoutFile installs a unit whose file cannot be used: nothing is known to change.
func TestExecutorWithoutFile(t *testing.T) {
	x := executor{systemd: faultySystemd{}}
	event := x.do(t.Context(), task{name: "no name", action: installing, want: wanted(standInHash, schema.Loaded)})
	if end := event.(actionEnded); end.installed != nil || end.err == nil {
		t.Errorf("%+v", end)
	}
}
