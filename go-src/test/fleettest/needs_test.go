package fleettest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/fleet/schema"
)

// pair is a world with front.service, which may need back.service, each on a machine of the test's
// choice.
type pair struct{ *world }

// wants submits a unit of a machine. need lists the options that name back.service.
func (n *pair) wants(name, machine, state, need string) {
	n.t.Helper()
	options := []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/true"}, {Section: "X-Fleet", Name: "MachineID", Value: machine}}
	for _, option := range strings.Fields(need) {
		options = append(options, schema.UnitOption{Section: "Unit", Name: option, Value: "back.service docker.service"})
	}
	if err := n.registry.Create(n.t.Context(), "test", schema.Unit{Name: name, Options: options, DesiredState: state}); err != nil {
		n.t.Fatal(err)
	}
}

// runsAfter waits, and compares the units that run.
func (n *pair) runsAfter(wait time.Duration, what string, want ...string) {
	n.t.Helper()
	sleep(n.t.Context(), wait)
	if runs := n.running(); !slices.Equal(runs, want) {
		n.t.Errorf("%s: %v, want %v", what, runs, want)
		for _, line := range n.log {
			n.t.Log(line)
		}
	}
}

// summary returns the reason that the API gives for front.service.
func (n *pair) summary() string {
	why, err := n.registry.Why(n.t.Context(), "front.service")
	if err != nil {
		n.t.Fatal(err)
	}
	return why.Summary
}

// TestHistoryOfNeeds runs a unit that needs one on another machine. That one also comes to the same
// machine, and goes away again.
func TestHistoryOfNeeds(t *testing.T) {
	setLog()
	for _, test := range []struct {
		need string
		do   func(*pair)
	}{
		{"Requires", func(n *pair) {
			n.runsAfter(5*time.Minute, "nobody has started what it requires")
			if is := n.summary(); is != "it is on a, and waits for back.service" {
				n.t.Error(is)
			}
			n.wants("back.service", "b", schema.Launched, "")
			n.runsAfter(20*time.Second, "both are started", "back.service b", "front.service a")
			if is := n.summary(); strings.Contains(is, "waits") {
				n.t.Error(is)
			}
			n.machines["a"].client.Disturb(time.Second, 0) // answers and events arrive in any order
			for range 10 {
				before := len(n.log)
				n.off(n.machines["a"])
				n.start(n.machines["a"])
				n.runsAfter(20*time.Second, "the daemon was restarted", "back.service b", "front.service a")
				if len(n.log) > before {
					n.t.Errorf("the restart of the daemon was noticed: %v", n.log[before:])
				}
			}
			n.machines["a"].client.Disturb(0, 0)
			n.off(n.machines["b"])
			n.reboot(n.machines["b"])
			n.runsAfter(2*ttl, "what it requires is lost", "front.service a")
			n.start(n.machines["b"])
			n.runsAfter(20*time.Second, "and back", "back.service b", "front.service a")
			n.change(n.registry.SetDesired(n.t.Context(), "test", "back.service", schema.Loaded))
			n.runsAfter(20*time.Second, "what it requires was stopped")
			n.change(n.registry.SetDesired(n.t.Context(), "test", "back.service", schema.Launched))
			n.runsAfter(20*time.Second, "and started", "back.service b", "front.service a")
		}},
		{"BindsTo", func(n *pair) {
			n.runsAfter(5*time.Minute, "nobody has started what it is bound to")
			n.wants("back.service", "b", schema.Launched, "")
			n.runsAfter(20*time.Second, "both are started", "back.service b", "front.service a")
			n.off(n.machines["b"])
			n.reboot(n.machines["b"])
			n.runsAfter(2*ttl, "what it is bound to is lost")
			n.start(n.machines["b"])
			n.runsAfter(20*time.Second, "and back", "back.service b", "front.service a")
		}},
		{"Requires After", func(n *pair) {
			for _, machine := range []string{"a", "b", "a", "c"} {
				n.wants("back.service", machine, schema.Launched, "")
				n.runsAfter(20*time.Second, "what it requires went to "+machine, "back.service "+machine, "front.service a")
			}
			n.change(n.registry.Destroy(n.t.Context(), "test", "back.service"))
			n.runsAfter(20*time.Second, "what it requires was destroyed")
			n.wants("back.service", "b", schema.Launched, "")
			n.runsAfter(5*time.Minute, "and is there again", "back.service b", "front.service a")
		}},
		{"After", func(n *pair) {
			n.runsAfter(20*time.Second, "nobody wants what comes first", "front.service a")
			n.change(n.registry.Destroy(n.t.Context(), "test", "front.service"))
			n.runsAfter(20*time.Second, "all are destroyed")
			n.wants("back.service", "nowhere", schema.Launched, "")
			n.wants("front.service", "a", schema.Launched, "After")
			n.runsAfter(time.Minute, "what comes first is nowhere")
			n.runsAfter(time.Minute, "that took too long", "front.service a")
			n.change(n.registry.Destroy(n.t.Context(), "test", "front.service"))
			n.runsAfter(20*time.Second, "all are destroyed")
			n.wants("front.service", "a", schema.Launched, "After")
			n.runsAfter(20*time.Second, "what comes first is still nowhere")
			n.wants("back.service", "b", schema.Launched, "")
			n.runsAfter(20*time.Second, "both are started", "back.service b", "front.service a")
			n.change(n.registry.SetDesired(n.t.Context(), "test", "back.service", schema.Loaded))
			n.runsAfter(20*time.Second, "what came first was stopped", "front.service a")
		}},
	} {
		t.Run(test.need, func(t *testing.T) {
			inPair(t, func(n *pair) {
				n.wants("front.service", "a", schema.Launched, test.need)
				n.wants("back.service", "b", schema.Inactive, "")
				test.do(n)
			})
		})
	}
}

// inPair runs f with a new pair whose network works.
func inPair(t *testing.T, f func(*pair)) {
	synctest.Test(t, func(t *testing.T) {
		n := &pair{newWorld(t, 1)}
		defer n.end()
		n.heal()
		for _, m := range n.machines {
			m.systemd.SetOwn("docker.service")
		}
		f(n)
	})
}

// TestHistoryOfReplacedGlobal replaces the file of a global unit while the agent starts it. The unit
// runs already, because systemd has started it for front.service. For the new file the agent stops
// both, and has to start both again: etcd sends nothing about a global unit that would remind it.
func TestHistoryOfReplacedGlobal(t *testing.T) {
	setLog()
	inPair(t, func(n *pair) {
		global := func(state, command string) {
			n.t.Helper()
			options := []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: command}, {Section: "X-Fleet", Name: "Global", Value: "true"}}
			n.change(n.registry.Create(n.t.Context(), "test", schema.Unit{Name: "back.service", Options: options, DesiredState: state}))
		}
		global(schema.Loaded, "/bin/old")
		n.wants("front.service", "a", schema.Launched, "Requires")
		n.runsAfter(20*time.Second, "systemd has started what front.service requires", "back.service a", "front.service a")
		n.machines["a"].systemd.Starting = func(unit string) {
			if unit == "back.service" {
				sleep(n.t.Context(), 10*time.Second)
			}
		}
		global(schema.Launched, "/bin/old")
		n.runsAfter(5*time.Second, "it is being started", "back.service a", "back.service b", "back.service c", "back.service d", "front.service a")
		global(schema.Launched, "/bin/new")
		n.runsAfter(time.Minute, "it has the new file", "back.service a", "back.service b", "back.service c", "back.service d", "front.service a")
	})
}

// TestHistoryOfOrder checks that units of one machine start in the order of After=.
func TestHistoryOfOrder(t *testing.T) {
	setLog()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			n := &pair{newWorld(t, seed)}
			defer n.end()
			n.heal()
			var order []string
			n.machines["a"].systemd.Starting = func(unit string) { order = append(order, unit) }
			n.wants("back.service", "a", schema.Inactive, "")
			n.wants("front.service", "a", schema.Launched, "After")
			n.change(n.registry.SetDesired(t.Context(), "test", "back.service", schema.Launched))
			sleep(t.Context(), time.Minute)
			if !slices.Equal(order, []string{"back.service", "front.service"}) && !slices.Equal(order, []string{"front.service", "back.service"}) {
				t.Fatalf("started: %v", order)
			}
			order = nil
			n.off(n.machines["a"])
			n.reboot(n.machines["a"])
			n.start(n.machines["a"]) // both come at once
			sleep(t.Context(), 2*ttl)
			if !slices.Equal(order, []string{"back.service", "front.service"}) {
				t.Errorf("started: %v", order)
			}
		})
	}
}

// TestCycle has two units of one machine that depend on each other, as a unit and its sidekick do. They
// start at once, also with new files and after a restart of the machine.
func TestCycle(t *testing.T) {
	setLog()
	inPair(t, func(n *pair) {
		create := func(command string) {
			service := schema.UnitOption{Section: "Service", Name: "ExecStart", Value: command}
			unit := func(name, value string) schema.UnitOption {
				return schema.UnitOption{Section: "Unit", Name: name, Value: value}
			}
			n.change(n.registry.Create(n.t.Context(), "test", schema.Unit{Name: "app.service", DesiredState: schema.Launched, Options: []schema.UnitOption{
				unit("Requires", "app-side.service"), service, {Section: "X-Fleet", Name: "MachineID", Value: "a"},
			}}))
			n.change(n.registry.Create(n.t.Context(), "test", schema.Unit{Name: "app-side.service", DesiredState: schema.Launched, Options: []schema.UnitOption{
				unit("BindsTo", "app.service"), unit("After", "app.service"), service, {Section: "X-Fleet", Name: "MachineOf", Value: "app.service"},
			}}))
		}
		both := []string{"app-side.service a", "app.service a"}
		create("/bin/old")
		n.runsAfter(10*time.Second, "both were started", both...)
		create("/bin/new")
		n.runsAfter(10*time.Second, "both have new files", both...)
		n.off(n.machines["a"])
		n.reboot(n.machines["a"])
		n.start(n.machines["a"])
		n.runsAfter(20*time.Second, "the machine has restarted", both...)
	})
}
