package fleettest

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/fleet/schema"
)

var (
	histories = flag.Int("histories", 100, "number of simulated histories")
	first     = flag.Int("first", 0, "the first of them")
	verbose   = flag.Bool("daemons", false, "print what the daemons log")
)

// step makes one thing happen. It waits for requests to the API.
func (w *world) step() {
	ids, names := slices.Sorted(maps.Keys(w.machines)), slices.Sorted(maps.Keys(units))
	m, name := w.machines[ids[w.random.IntN(len(ids))]], names[w.random.IntN(len(names))]
	if kind := w.random.IntN(20); !w.disturb(m, kind) {
		w.request(m, name, kind)
	}
}

// disturb makes something happen to a machine or to etcd, if it is one of the first kinds.
func (w *world) disturb(m *simulated, kind int) bool {
	switch kind {
	case 0:
		w.note("%s: power cut", m.id)
		w.off(m)
		w.reboot(m)
		w.pause(3 * ttl)
		w.note("%s: power on", m.id)
		w.start(m)
	case 1, 2:
		w.note("%s: restart of the daemon", m.id)
		w.off(m)
		w.start(m)
	case 3:
		w.note("%s: cut off", m.id)
		m.client.Cut(true)
	case 4, 5:
		w.note("%s: no longer cut off", m.id)
		m.client.Cut(false)
	case 6:
		slow := time.Duration(w.random.Int64N(int64(4 * time.Second)))
		w.note("%s: slow by %s", m.id, slow)
		m.client.Disturb(slow, w.random.Float64()*0.3)
	case 7:
		w.note("%s: quick", m.id)
		m.client.Disturb(0, 0)
	case 15:
		w.locked(func() { m.ill, m.wasIll = !m.ill, true })
		w.note("%s: systemd fails: %t", m.id, m.ill)
	case 16:
		w.note("etcd has no leader")
		w.etcd.Lose(true)
		w.pause(3 * ttl)
		w.note("etcd has a leader")
		w.etcd.Lose(false)
	case 17:
		w.note("%s: the daemon is away", m.id)
		w.off(m)
		w.pause(3 * ttl)
		w.note("%s: the daemon is back", m.id)
		w.start(m)
	case 18: // as after a suspension of this machine alone
		jump := time.Duration(w.random.Int64N(int64(3 * ttl)))
		w.note("%s: the clock jumps by %s", m.id, jump)
		w.locked(func() { m.ahead += jump })
	default:
		return false
	}
	return true
}

// pause waits for a random time.
func (w *world) pause(most time.Duration) {
	sleep(context.Background(), time.Duration(w.random.Int64N(int64(most))))
}

// request changes something through the API.
func (w *world) request(m *simulated, name string, kind int) {
	ctx := context.Background()
	switch kind {
	case 8:
		drain := []*schema.DrainRequest{{}, {UntilRestart: true}, nil, nil, nil, nil}[w.random.IntN(6)]
		w.note("drain %s: %+v", m.id, drain)
		w.change(w.registry.SetDrain(ctx, "test", m.id, drain))
	case 9:
		w.note("destroy %s", name)
		w.change(w.registry.Destroy(ctx, "test", name))
		delete(w.wanted, name)
	case 10:
		w.note("rebalance")
		_, err := w.registry.Rebalance(ctx, "test")
		w.change(err)
	default:
		state := []string{schema.Launched, schema.Launched, schema.Launched, schema.Loaded, schema.Inactive}[w.random.IntN(5)]
		if w.wanted[name] == "" || w.random.IntN(4) == 0 {
			w.submit(name, state)
		} else {
			w.note("%s: %s", name, state)
			w.change(w.registry.SetDesired(ctx, "test", name, state))
		}
		w.wanted[name] = state
	}
}

// TestHistories runs random histories. After each, the cluster is healed and has to be in the
// desired state.
func TestHistories(t *testing.T) {
	setLog()
	for seed := uint64(*first); seed < uint64(*first+*histories); seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			history(t, seed)
		}) {
			return
		}
	}
}

func history(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer w.end()
		for range 40 {
			w.step()
			w.locked(func() {
				if w.broken != "" {
					w.fail("%s", w.broken)
				}
			})
			w.pause(5 * time.Second)
		}
		w.heal()
		w.locked(w.check)
		if w.broken != "" {
			w.fail("%s", w.broken)
		}
	})
}
