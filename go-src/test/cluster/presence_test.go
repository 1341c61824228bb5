package cluster

import (
	"testing"
	"time"

	"coreos/internal/reboot/lock"
	"coreos/test/etcdtest"
)

// TestMachineIDTwice announces two machines with one id, and a third with its own.
func TestMachineIDTwice(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 1, etcdtest.NoFsync())
	of := lock.New(c.Client(t), "")
	start := func(id, host string) *lock.Presence {
		p := of.NewPresence()
		p.Announce(t.Context(), lock.Machine{ID: id, Host: host, State: "running"})
		t.Cleanup(p.End)
		return p
	}
	wait := func(p *lock.Presence, want string) {
		t.Helper()
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
			if host, twice := p.Twice(); twice {
				if host != want {
					t.Errorf("the other one is %q, want %s", host, want)
				}
				return
			}
		}
		t.Errorf("%s was not seen", want)
	}
	first, third := start("m1", "node1"), start("m3", "node3")
	present(t, of, 2)
	if _, twice := first.Twice(); twice {
		t.Error("one machine sees itself")
	}
	second := start("m1", "clone")
	wait(first, "clone")
	wait(second, "node1")
	if _, twice := third.Twice(); twice {
		t.Error("the third machine has its id twice")
	}
	// A daemon that restarts is not another machine.
	third.End()
	again := start("m3", "node3")
	present(t, of, 2)
	again.Announce(t.Context(), lock.Machine{ID: "m3", Host: "node3", State: "reboot-planned"})
	time.Sleep(time.Second) // for what must not come
	if _, twice := again.Twice(); twice {
		t.Error("a machine takes the announcement before its restart for that of another one")
	}
}

// present waits until so many machines are present.
func present(t *testing.T, of *lock.Lock, want int) {
	t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if machines, err := of.Machines(t.Context()); err == nil && len(machines) == want {
			return
		}
	}
	t.Fatalf("not %d machines", want)
}
