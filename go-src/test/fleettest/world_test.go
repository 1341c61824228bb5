package fleettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/daemon"
	"coreos/internal/fleet/guard"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
	"coreos/internal/host/pause"
)

// Times of the simulation: a machine's lease, how long units take to stop, and how long
// two may run one unit after a lease ended: one of them is being stopped, and again after up
// to two seconds, if its daemon was restarted meanwhile.
const (
	ttl      = 10 * time.Second
	stopping = 500 * time.Millisecond
	overlap  = 2*stopping + 2*time.Second
)

// world is a cluster in simulated time, and who really runs what.
type world struct {
	t        *testing.T
	random   *rand.Rand
	etcd     *Etcd
	machines map[string]*simulated
	registry *registry.Registry
	begin    time.Time
	log      []string
	logging  sync.Mutex
	runs     map[string]map[string]time.Time // unit, machine: since
	wanted   map[string]string               // unit: desired state
	broken   string                          // the first thing that must not be
	mu       chan struct{}
}

// logs has what the daemons log printed, if that was asked for.
func logs() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	if *verbose {
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
}

// simulated is a machine with its daemon.
type simulated struct {
	id      string
	systemd *Systemd
	client  *Client
	run     string // what outlives the daemon, but not the machine
	// ill is while its systemd fails now and then.
	ill, wasIll bool
	boot        int
	// ahead is by how much its clock has jumped.
	ahead   time.Duration
	stop    func() // ends the daemon; nil while it does not run
	unguard func()
}

func (w *world) note(format string, arguments ...any) {
	w.logging.Lock()
	defer w.logging.Unlock()
	w.log = append(w.log, fmt.Sprintf("%8.3f ", time.Since(w.begin).Seconds())+fmt.Sprintf(format, arguments...))
}

// locked runs a function that looks at what runs.
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

// now is the time on a machine's clock.
func (w *world) now(m *simulated) (now time.Duration) {
	w.locked(func() { now = time.Since(w.begin) + m.ahead })
	return now
}

// guard has a machine's units stopped when its daemon is away.
func (w *world) guard(m *simulated) {
	ctx, stop := context.WithCancel(context.Background())
	changed := make(chan struct{})
	g := &guard.Guard{
		LeaseFile: filepath.Join(m.run, "lease"), Changed: changed, Systemd: m.systemd, Keep: func() bool { return false },
		Now: func() time.Duration { return w.now(m) },
	}
	var all sync.WaitGroup
	all.Go(func() { g.Run(ctx) })
	all.Go(func() {
		for pause.For(ctx, 3*time.Second) { // a file may change
			select {
			case changed <- struct{}{}:
			case <-ctx.Done():
			}
		}
	})
	m.unguard = func() { stop(); all.Wait() }
}

// memory is a directory that need not be synchronised with a disk.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "fleettest")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ran checks that nobody else runs a unit.
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
			w.runs[unit][other] = time.Now() // from now on both do
		}
	}
}

func (w *world) stopped(unit, id string) {
	w.note("%s stopped %s", id, unit)
	// A machine whose systemd does not stop units does not stop them in time either.
	if since := w.runs[unit][id]; !since.IsZero() && time.Since(since) > overlap && !w.machines[id].wasIll && w.broken == "" {
		w.broken = fmt.Sprintf("%s ran on %s and on another machine for %s", unit, id, time.Since(since))
	}
	if delete(w.runs[unit], id); len(w.runs[unit]) == 1 {
		for other := range w.runs[unit] {
			w.runs[unit][other] = time.Time{} // which is alone again
		}
	}
}

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

// start starts the daemon of a machine.
func (w *world) start(m *simulated) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	boot := fmt.Sprint(m.id, m.boot)
	n := &daemon.Node{
		Store: store.New(m.client, store.DefaultPrefix), ID: m.id, Systemd: m.systemd, TTL: ttl,
		NoLeader: m.client.NoLeader, LeaseFile: filepath.Join(m.run, "lease"), Now: func() time.Duration { return w.now(m) },
		Metrics: daemon.NewMetrics(), Leader: leader.NewMetrics(), Agent: agent.NewMetrics(),
		Describe: func() store.Machine {
			return store.Machine{Boot: boot, Metadata: map[string]string{"half": []string{"one", "two"}[(m.id[0]-'a')/2]}}
		},
	}
	go func() { defer close(done); _ = n.Run(ctx) }()
	m.stop = func() { cancel(); <-done; m.stop = nil }
}

// units are those that histories are about.
var units = map[string]string{
	"web@1.service": "Conflicts=web@*.service", "web@2.service": "Conflicts=web@*.service", "web@3.service": "Conflicts=web@*.service",
	"side.service": "MachineOf=web@1.service", "half.service": "MachineMetadata=half=two", "bound.service": "MachineID=b",
	"global.service": "Global=true", "globalhalf.service": "Global=true\nMachineMetadata=half=one", "new.service": "Replaces=plain1.service",
	"first.service": "Global=true\nConflicts=global.service web@1.service", "globalrival.service": "Global=true\nConflicts=globalhalf.service",
	"plain1.service": "", "plain2.service": "", "plain3.service": "",
	"front.service": "Requires=back.service", "back.service": "Conflicts=front.service",
}

// requirements are those of these units.
var requirements = func() map[string]unitfile.Requirements {
	all := map[string]unitfile.Requirements{}
	for name := range units {
		n, err := unitfile.ParseName(name)
		if err != nil {
			panic(err)
		}
		if all[name], err = unitfile.Of(schema.Unit{Options: options(name)}).Requirements(n); err != nil {
			panic(err)
		}
	}
	return all
}()

// has reports whether a unit is to be on machines.
func (w *world) has(name string) bool {
	return w.wanted[name] != "" && w.wanted[name] != schema.Inactive
}

// options are what there is in the file of one of these units.
func options(name string) (all []schema.UnitOption) {
	for line := range strings.SplitSeq(units[name], "\n") {
		if key, value, ok := strings.Cut(line, "="); ok {
			section := "X-Fleet"
			if key == "Requires" {
				section = "Unit"
			}
			all = append(all, schema.UnitOption{Section: section, Name: key, Value: value})
		}
	}
	return all
}

func (w *world) submit(name, state string) {
	version := w.random.IntN(3)
	w.note("submit %s, version %d, %s", name, version, state)
	options := append(options(name), schema.UnitOption{Section: "Service", Name: "ExecStart", Value: fmt.Sprint("/bin/sleep ", version)})
	w.change(w.registry.Create(context.Background(), "test", schema.Unit{Name: name, Options: options, DesiredState: state}))
}

// change takes errors that a healthy etcd may return.
func (w *world) change(err error) {
	if err != nil && !errors.Is(err, schema.ErrNotFound) && !errors.Is(err, schema.ErrConflict) {
		w.fail("the API: %v", err)
	}
}

// off ends the daemon.
func (w *world) off(m *simulated) {
	if m.stop != nil {
		m.stop()
	}
}

// reboot has a machine forget what it does not keep.
func (w *world) reboot(m *simulated) {
	m.systemd.Reboot()
	_ = os.Remove(filepath.Join(m.run, "lease"))
	m.boot++
}

// heal ends all faults and waits until the cluster is at rest.
func (w *world) heal() {
	w.note("all is healed")
	for _, id := range slices.Sorted(maps.Keys(w.machines)) {
		m := w.machines[id]
		m.client.Cut(false)
		m.client.Disturb(0, 0)
		w.locked(func() { m.ill = false })
		w.change(w.registry.SetDrain(context.Background(), "test", id, nil))
	}
	pause.For(context.Background(), 3*time.Minute)
}

// check compares what runs with what the API says and what was wanted.
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
		runs := slices.Sorted(maps.Keys(w.runs[u.Name]))
		want := []string{}
		switch {
		case u.DesiredState != w.wanted[u.Name]:
			w.fail("%s is wanted %s, the API says %s", u.Name, w.wanted[u.Name], u.DesiredState)
		case u.DesiredState == schema.Inactive:
		case u.Name == "global.service" && w.has("first.service"):
		case u.Name == "globalhalf.service":
			want = []string{"a", "b"}
		case u.Name == "globalrival.service" && w.has("globalhalf.service"):
			want = []string{"c", "d"}
		case requirements[u.Name].Global:
			want = []string{"a", "b", "c", "d"}
		case u.MachineID != "":
			want = []string{u.MachineID}
		default:
			if why, err := w.registry.Why(ctx, u.Name); err != nil || !strings.HasPrefix(why.Summary, "none of 4 machines") {
				w.fail("%s is nowhere, though: %+v, %v", u.Name, why, err)
			}
		}
		if count[u.Name] != len(want) {
			w.fail("%s has %d states, want %v", u.Name, count[u.Name], want)
		}
		if u.DesiredState != schema.Launched || u.Name == "front.service" && w.wanted["back.service"] != schema.Launched {
			want = nil
		}
		if !slices.Equal(runs, want) && len(runs)+len(want) > 0 {
			w.fail("%s (%s) runs on %v, want %v", u.Name, u.DesiredState, runs, want)
		}
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

func (w *world) end() {
	for _, m := range w.machines {
		w.off(m)
		m.unguard()
	}
	w.registry.Close()
}

// running says what runs where.
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

// leader is the machine that leads.
func (w *world) leader() string {
	records := store.New(w.etcd.NewClient(0), store.DefaultPrefix)
	answer, err := records.Get(context.Background(), records.Leader())
	if err != nil || len(answer.Kvs) == 0 {
		return ""
	}
	return string(answer.Kvs[0].Value)
}
