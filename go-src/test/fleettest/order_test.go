package fleettest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/fleet/schema"
)

// TestHistoryOfInstalls gives a machine several units over a slow network, so that their files arrive
// in any order. systemd must know all of them before one is started.
func TestHistoryOfInstalls(t *testing.T) {
	setLog()
	tested := 0
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.end()
			w.heal()
			for i := range 5 {
				options := []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/true"}, {Section: "X-Fleet", Name: "MachineID", Value: "b"}}
				w.change(w.registry.Create(t.Context(), "test", schema.Unit{Name: fmt.Sprintf("u%d.service", i), Options: options, DesiredState: schema.Inactive}))
			}
			b := w.machines["b"]
			known := func() int {
				all, err := b.systemd.Units(t.Context())
				if err != nil {
					t.Error(err)
				}
				return len(all)
			}
			b.systemd.Ran = nil
			b.systemd.Starting = func(unit string) {
				if n := known(); n != 5 {
					t.Errorf("seed %d: %s is started when systemd knows %d units", seed, unit, n)
				}
			}
			if w.leader() == "b" {
				return // the test ends b's daemon, and needs another leader
			}
			tested++
			w.off(b) // all assignments wait for it
			b.client.Disturb(time.Second, 0)
			for i := range 5 {
				w.change(w.registry.SetDesired(t.Context(), "test", fmt.Sprintf("u%d.service", i), schema.Launched))
			}
			sleep(t.Context(), time.Second)
			w.start(b)
			sleep(t.Context(), 2*time.Minute)
			if n := b.systemd.Running(); n != 5 {
				t.Errorf("seed %d: %d units run", seed, n)
			}
		})
	}
	if tested < 10 {
		t.Errorf("only %d histories were tested", tested)
	}
}
