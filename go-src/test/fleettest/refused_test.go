package fleettest

import (
	"errors"
	"testing"
	"time"

	"coreos/internal/fleet/schema"
)

// TestRefused has a machine refuse a unit: because it has one of that name, and because another unit that
// it requires does not exist.
func TestRefused(t *testing.T) {
	setLog()
	for what, test := range map[string]struct {
		refuse, accept func(*Systemd)
		sub            string
	}{
		"its name": {
			func(s *Systemd) { s.SetOwn("docker.service", "front.service") }, func(s *Systemd) { s.SetOwn("docker.service") }, "error",
		},
		"what it requires": {
			func(s *Systemd) { s.SetOwn() }, func(s *Systemd) { s.SetOwn("docker.service") }, "refused",
		},
	} {
		t.Run(what, func(t *testing.T) {
			inPair(t, func(n *pair) {
				systemd := n.machines["a"].systemd
				test.refuse(systemd)
				docker := schema.UnitOption{Section: "Unit", Name: "Requires", Value: "docker.service"}
				here := schema.UnitOption{Section: "X-Fleet", Name: "MachineID", Value: "a"}
				n.change(n.registry.Create(n.t.Context(), "test", schema.Unit{Name: "front.service", DesiredState: schema.Launched, Options: []schema.UnitOption{docker, here}}))
				n.runsAfter(10*time.Second, "it is refused")
				u, err := n.registry.Unit(n.t.Context(), "front.service")
				if err != nil || u.Problem == "" || u.CurrentState == schema.Launched {
					n.t.Errorf("%+v, %v", u, err)
				}
				if is := n.summary(); is != "it is on a, and does not run: "+u.Problem {
					n.t.Error(is)
				}
				states, err := n.registry.States(n.t.Context())
				if err != nil || len(states) != 1 || states[0].SystemdActiveState != "failed" || states[0].SystemdSubState != test.sub || states[0].Problem != u.Problem {
					n.t.Errorf("%+v, %v", states, err)
				}
				test.accept(systemd)
				n.runsAfter(2*time.Minute, "it is refused no more", "front.service a")
				if u, err = n.registry.Unit(n.t.Context(), "front.service"); err != nil || u.Problem != "" || u.CurrentState != schema.Launched {
					n.t.Errorf("%+v, %v", u, err)
				}
				test.refuse(systemd)
				n.change(n.registry.Destroy(n.t.Context(), "test", "front.service"))
				n.runsAfter(20*time.Second, "it is destroyed")
				if states, err = n.registry.States(n.t.Context()); err != nil || len(states) != 0 {
					n.t.Errorf("states are left: %+v, %v", states, err)
				}
			})
		})
	}
}

// TestRefusedGlobal has one machine refuse a global unit. No state of it is left when it is destroyed.
func TestRefusedGlobal(t *testing.T) {
	setLog()
	inPair(t, func(n *pair) {
		n.machines["a"].systemd.SetOwn("all.service")
		n.change(n.registry.Create(n.t.Context(), "test", schema.Unit{Name: "all.service", DesiredState: schema.Launched, Options: []schema.UnitOption{
			{Section: "Service", Name: "ExecStart", Value: "/bin/true"}, {Section: "X-Fleet", Name: "Global", Value: "true"},
		}}))
		n.runsAfter(10*time.Second, "all others run it", "all.service b", "all.service c", "all.service d")
		why, err := n.registry.Why(n.t.Context(), "all.service")
		if err != nil || why.Machines[0].Reason != "the machine has all.service" {
			n.t.Errorf("%+v, %v", why, err)
		}
		n.change(n.registry.Destroy(n.t.Context(), "test", "all.service"))
		n.runsAfter(20*time.Second, "it is destroyed")
		if states, err := n.registry.States(n.t.Context()); err != nil || len(states) != 0 {
			n.t.Errorf("states are left: %+v, %v", states, err)
		}
	})
}

// TestSlowStop unloads and destroys a unit that takes its time to stop: the registry says so until it has
// stopped.
func TestSlowStop(t *testing.T) {
	setLog()
	inPair(t, func(n *pair) {
		systemd := n.machines["a"].systemd
		state := func() string {
			u, err := n.registry.Unit(n.t.Context(), "front.service")
			if err != nil {
				n.t.Fatal(err)
			}
			return u.CurrentState
		}
		n.wants("front.service", "a", schema.Launched, "")
		n.runsAfter(10*time.Second, "it runs", "front.service a")
		systemd.Stopping = time.Minute
		n.change(n.registry.SetDesired(n.t.Context(), "test", "front.service", schema.Inactive))
		n.runsAfter(50*time.Second, "it is being unloaded", "front.service a")
		if is := state(); is != schema.Loaded {
			n.t.Errorf("it is %s while it stops", is)
		}
		if is := n.summary(); is != "it waits until a has stopped it" {
			n.t.Error(is)
		}
		n.runsAfter(20*time.Second, "it is unloaded")
		if is := state(); is != schema.Inactive {
			n.t.Errorf("it is %s", is)
		}
		n.change(n.registry.SetDesired(n.t.Context(), "test", "front.service", schema.Launched))
		n.runsAfter(10*time.Second, "it runs again", "front.service a")
		n.change(n.registry.Destroy(n.t.Context(), "test", "front.service"))
		n.runsAfter(50*time.Second, "it is being destroyed", "front.service a")
		if is := n.summary(); is != "it is destroyed, and waits until a has stopped it" {
			n.t.Error(is)
		}
		n.runsAfter(20*time.Second, "it is destroyed")
		if _, err := n.registry.Why(n.t.Context(), "front.service"); !errors.Is(err, schema.ErrNotFound) {
			n.t.Errorf("why: %v", err)
		}
	})
}
