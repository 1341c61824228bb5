package fleettest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// ran records that a machine runs a unit, and checks that it runs no other that conflicts.
func (w *world) ran(unit, id string) {
	w.note("%s runs %s", id, unit)
	if w.runs[unit] == nil {
		w.runs[unit] = map[string]time.Time{}
	}
	w.runs[unit][id] = time.Time{}
	for other, runs := range w.runs {
		if _, both := runs[id]; both && other != unit && unitfile.Conflict(unit, requirements[unit], other, requirements[other]) && w.broken == "" {
			w.broken = fmt.Sprintf("%s runs %s beside %s, with which it conflicts", id, unit, other)
		}
	}
	if requirements[unit].Global {
		return
	}
	for other, since := range w.runs[unit] {
		if other != id && since.IsZero() {
			w.runs[unit][other] = time.Now() // from now on both run it
		}
	}
}

// stopped records that a machine has stopped a unit, and checks that two machines have not run it
// for too long.
func (w *world) stopped(unit, id string) {
	w.note("%s stopped %s", id, unit)
	// A machine whose systemd fails cannot stop units in time.
	if since := w.runs[unit][id]; !since.IsZero() && time.Since(since) > overlap && !w.machines[id].wasIll && w.broken == "" {
		w.broken = fmt.Sprintf("%s ran on %s and on another machine for %s", unit, id, time.Since(since))
	}
	if delete(w.runs[unit], id); len(w.runs[unit]) == 1 {
		for other := range w.runs[unit] {
			w.runs[unit][other] = time.Time{} // the only one again
		}
	}
}

// fail ends the test, with the last events and the records in etcd.
func (w *world) fail(format string, arguments ...any) {
	for _, line := range w.log[max(0, len(w.log)-120):] {
		w.t.Log(line)
	}
	w.etcd.keys.Ascend(func(kv *mvccpb.KeyValue) bool {
		w.t.Logf("%s %s, revision %d, lease %d", kv.Key, kv.Value, kv.ModRevision, kv.Lease)
		return true
	})
	w.t.Fatalf(format, arguments...)
}

// check compares the units that run with those that the API shows and with the desired states.
func (w *world) check() {
	ctx := context.Background()
	all, err := w.registry.Units(ctx)
	if err != nil || len(all) != len(w.wanted) {
		w.fail("%d units, %d are wanted: %v", len(all), len(w.wanted), err)
	}
	states, err := w.registry.States(ctx)
	if err != nil {
		w.fail("%v", err)
	}
	count := map[string]int{}
	for _, state := range states {
		count[state.Name]++
	}
	for _, u := range all {
		w.checkUnit(u, count[u.Name])
		delete(count, u.Name)
	}
	for name, runs := range w.runs {
		if len(runs) > 0 && w.wanted[name] == "" {
			w.fail("%s was destroyed and runs on %v", name, runs)
		}
	}
	if len(count) > 0 {
		w.fail("states are left of %v", count)
	}
}

// checkUnit checks one unit. states is the number of its states in the API.
func (w *world) checkUnit(u schema.Unit, states int) {
	runs, want := slices.Sorted(maps.Keys(w.runs[u.Name])), w.machinesFor(u)
	if u.DesiredState != w.wanted[u.Name] {
		w.fail("%s is wanted %s, the API says %s", u.Name, w.wanted[u.Name], u.DesiredState)
	}
	if states != len(want) {
		w.fail("%s has %d states, want %v", u.Name, states, want)
	}
	if u.DesiredState != schema.Launched || u.Name == "front.service" && w.wanted["back.service"] != schema.Launched {
		want = nil
	}
	if !slices.Equal(runs, want) && len(runs)+len(want) > 0 {
		w.fail("%s (%s) runs on %v, want %v", u.Name, u.DesiredState, runs, want)
	}
}

// machinesFor returns the machines that have to have a unit. A unit on no machine must be one that
// none can have.
func (w *world) machinesFor(u schema.Unit) []string {
	switch {
	case u.DesiredState == schema.Inactive:
	case u.Name == "global.service" && w.has("first.service"):
	case u.Name == "globalhalf.service":
		return []string{"a", "b"}
	case u.Name == "globalother.service" && w.has("globalhalf.service"):
		return []string{"c", "d"}
	case requirements[u.Name].Global:
		return []string{"a", "b", "c", "d"}
	case u.MachineID != "":
		return []string{u.MachineID}
	default:
		if why, err := w.registry.Why(context.Background(), u.Name); err != nil || !strings.HasPrefix(why.Summary, "none of 4 machines") {
			w.fail("%s is nowhere, though: %+v, %v", u.Name, why, err)
		}
	}
	return nil
}

// running returns which unit runs on which machine.
func (w *world) running() []string {
	var all []string
	w.locked(func() {
		for unit, machines := range w.runs {
			for id := range machines {
				all = append(all, unit+" "+id)
			}
		}
	})
	slices.Sort(all)
	return all
}
