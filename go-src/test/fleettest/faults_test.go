package fleettest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/fleet/schema"
)

// TestHistoryWithoutLeader takes etcd's leader away for longer than any lease. No unit stops, not even
// where a daemon is restarted meanwhile. A machine that is also cut off from etcd stops the units that
// may run elsewhere.
func TestHistoryWithoutLeader(t *testing.T) {
	setLog()
	for away := range 40 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, uint64(away))
			defer w.end()
			w.heal()
			for name := range units {
				w.submit(name, schema.Launched)
				w.wanted[name] = schema.Launched
			}
			sleep(t.Context(), time.Minute+time.Duration(away)*331*time.Millisecond)
			running := w.running()
			if len(running) < 10 {
				t.Fatalf("running: %v", running)
			}
			w.etcd.Lose(true)
			sleep(t.Context(), time.Duration(1+away)*ttl/4)
			w.off(w.machines["c"])
			w.start(w.machines["c"])
			sleep(t.Context(), 5*ttl)
			if now := w.running(); !slices.Equal(running, now) {
				w.fail("without a leader: %v\nbefore: %v", now, running)
			}
			w.machines["d"].client.Cut(true)
			sleep(t.Context(), 2*ttl)
			for _, runs := range w.running() {
				if unit, at, _ := strings.Cut(runs, " "); at == "d" && !requirements[unit].Global {
					w.fail("d is cut off and runs %s", unit)
				}
			}
			w.etcd.Lose(false)
			w.heal()
			w.locked(w.check)
			if w.broken != "" {
				w.fail("%s", w.broken)
			}
		})
	}
}

// TestHistoryOfDrains checks that a drain until the restart of a machine ends with it, and not before.
func TestHistoryOfDrains(t *testing.T) {
	setLog()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.end()
		w.heal()
		drains := func(what string, want ...string) {
			t.Helper()
			sleep(t.Context(), time.Minute)
			all, err := w.registry.Machines(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var drained []string
			for _, m := range all {
				if m.Drain != nil {
					drained = append(drained, m.ID)
				}
			}
			if !slices.Equal(drained, want) {
				t.Errorf("%s: drained are %v, want %v", what, drained, want)
			}
		}
		w.change(w.registry.SetDrain(t.Context(), "test", "a", &schema.DrainRequest{UntilRestart: true}))
		w.change(w.registry.SetDrain(t.Context(), "test", "b", &schema.DrainRequest{}))
		for _, id := range []string{"a", "b"} {
			w.off(w.machines[id])
			w.start(w.machines[id])
		}
		drains("the daemons have started anew", "a", "b")
		for _, id := range []string{"a", "b"} {
			w.off(w.machines[id])
			w.reboot(w.machines[id])
			w.start(w.machines[id])
		}
		drains("the machines have started anew", "b")
	})
}

// TestHistoryOfLostLeaders loses the leader at each write of a placement, before and after the write,
// for ever or until its lease has ended.
func TestHistoryOfLostLeaders(t *testing.T) {
	setLog()
	for _, after := range []bool{false, true} {
		for _, dies := range []bool{false, true} {
			steps := 0
			for leaderLostAt(t, steps, after, dies) {
				steps++
			}
			t.Logf("after %t, dies %t: %d steps", after, dies, steps)
			if steps < 12 {
				t.Errorf("there were only %d steps", steps)
			}
		}
	}
}

// leaderLostAt reports whether the leader made that write.
func leaderLostAt(t *testing.T, step int, after, dies bool) (was bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, uint64(step))
		defer w.end()
		w.heal()
		leader := w.machines[w.leader()]
		leader.client.CutAtWrite(step, after)
		for _, name := range slices.Sorted(maps.Keys(units)) {
			w.submit(name, schema.Launched)
			w.wanted[name] = schema.Launched
			sleep(t.Context(), 300*time.Millisecond) // or all are placed with one write
		}
		sleep(t.Context(), 4*time.Second)
		for i, id := range slices.Sorted(maps.Keys(w.machines)) {
			if i%2 == 0 && id != leader.id {
				w.change(w.registry.SetDrain(t.Context(), "test", id, &schema.DrainRequest{}))
			}
		}
		sleep(t.Context(), 4*time.Second)
		if was = leader.client.WasCut(); !was {
			return
		}
		w.note("the leader %s was lost at write %d", leader.id, step)
		if dies {
			w.off(leader)
			w.reboot(leader)
		}
		sleep(t.Context(), 2*ttl)
		if now := w.leader(); now == leader.id || now == "" {
			w.fail("the leader is %q", now)
		}
		if dies {
			w.start(leader)
		}
		w.heal()
		w.locked(w.check)
		if w.broken != "" {
			w.fail("%s", w.broken)
		}
	})
	return was
}
