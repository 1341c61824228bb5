package fleettest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/store"
)

// ttl is the time of a machine's lease, stopping how long a unit takes to stop. overlap is how long
// two machines may run the same unit after a lease has ended: one of them is stopping it, and tries
// again after up to two seconds if its daemon was restarted meanwhile.
const (
	ttl      = 10 * time.Second
	stopping = 500 * time.Millisecond
	overlap  = 2*stopping + 2*time.Second
)

// world is a cluster in simulated time. It knows which machine really runs which unit.
type world struct {
	t        *testing.T
	random   *rand.Rand
	etcd     *Etcd
	machines map[string]*simulated
	registry *registry.Registry
	begin    time.Time
	log      []string
	logging  sync.Mutex
	runs     map[string]map[string]time.Time // by unit and machine: since when two run it
	wanted   map[string]string               // the desired states by unit
	broken   string                          // the first rule that was broken
	mu       chan struct{}
}

// setLog prints the log of the daemons if the flag asks for it, and discards it otherwise.
func setLog() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	if *verbose {
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
}

// note adds a line to the log of the history.
func (w *world) note(format string, arguments ...any) {
	w.logging.Lock()
	defer w.logging.Unlock()
	w.log = append(w.log, fmt.Sprintf("%8.3f ", time.Since(w.begin).Seconds())+fmt.Sprintf(format, arguments...))
}

// locked runs a function with the world locked.
func (w *world) locked(do func()) {
	w.mu <- struct{}{}
	defer func() { <-w.mu }()
	do()
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), etcd: NewEtcd(), machines: map[string]*simulated{}, begin: time.Now(),
		runs: map[string]map[string]time.Time{}, wanted: map[string]string{}, mu: make(chan struct{}, 1),
	}
	w.registry = registry.New(store.New(w.etcd.NewClient(seed), store.DefaultPrefix))
	for i := range 4 {
		id := string(rune('a' + i))
		m := &simulated{id: id, systemd: NewSystemd(), client: w.etcd.NewClient(seed + uint64(i)), run: memory(t)}
		m.systemd.Stopping = stopping
		random := rand.New(rand.NewPCG(seed, uint64(1+i))) // w.random belongs to the history
		m.systemd.Fails = func() (fails, done bool) {
			w.locked(func() { fails, done = m.ill && random.IntN(3) == 0, random.IntN(2) == 0 })
			return
		}
		m.systemd.Ran = func(unit string) { w.locked(func() { w.ran(unit, id) }) }
		m.systemd.Stopped = func(unit string) { w.locked(func() { w.stopped(unit, id) }) }
		w.machines[id] = m
		w.guard(m)
		w.start(m)
	}
	return w
}

// heal ends all faults and waits until the cluster has settled.
func (w *world) heal() {
	w.note("all is healed")
	for _, id := range slices.Sorted(maps.Keys(w.machines)) {
		m := w.machines[id]
		m.client.Cut(false)
		m.client.Disturb(0, 0)
		w.locked(func() { m.ill = false })
		w.change(w.registry.SetDrain(context.Background(), "test", id, nil))
	}
	sleep(context.Background(), 3*time.Minute)
}

// end ends all daemons and guards.
func (w *world) end() {
	for _, m := range w.machines {
		w.off(m)
		m.unguard()
	}
	w.registry.Close()
}

// leader returns the machine that leads.
func (w *world) leader() string {
	records := store.New(w.etcd.NewClient(0), store.DefaultPrefix)
	answer, err := records.Get(context.Background(), records.Leader())
	if err != nil || len(answer.Kvs) == 0 {
		return ""
	}
	return string(answer.Kvs[0].Value)
}
