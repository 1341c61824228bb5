package fleettest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// lone is an agent without a cluster around it: the test writes its records.
type lone struct {
	*agent.Agent
	t       *testing.T
	client  *spy         // of the agent
	records *store.Store // of the test
	stop    func()

	mu   sync.Mutex
	runs []string
}

func newLone(t *testing.T, seed uint64) *lone {
	etcd, systemd := NewEtcd(), NewSystemd()
	l := &lone{t: t, client: &spy{Client: etcd.NewClient(seed)}, records: store.New(etcd.NewClient(0), store.DefaultPrefix)}
	systemd.Ran = func(unit string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.runs = append(l.runs, unit)
	}
	systemd.Stopped = func(unit string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.runs = slices.DeleteFunc(l.runs, func(other string) bool { return other == unit })
	}
	l.Agent = agent.New(store.New(l.client, store.DefaultPrefix), "a", systemd, agent.NewMetrics())
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = l.Run(ctx) })
	l.stop = func() { stop(); all.Wait() }
	return l
}

// put writes a unit with options such as X-Fleet/Global=true, and its assignment.
func (l *lone) put(name, target string, version int, options ...schema.UnitOption) {
	l.t.Helper()
	options = append(options, schema.UnitOption{Section: "Service", Name: "ExecStart", Value: fmt.Sprint("/bin/sleep ", version)})
	u := schema.Unit{Name: name, Options: options}
	assignment := store.Assignment{Hash: unitfile.Of(u).Hash().String(), Target: target}
	l.write(l.records.Unit(name), store.Unit{Options: options})
	if r, err := unitfile.RequirementsOf(u); err != nil {
		l.t.Fatal(err)
	} else if r.Global {
		l.write(l.records.Global(name), store.Global{Assignment: assignment})
	} else {
		l.write(l.records.Assignment("a", name), assignment)
	}
}

// write writes a record.
func (l *lone) write(key string, record any) {
	l.t.Helper()
	if _, err := l.records.Put(l.t.Context(), key, store.Encode(record)); err != nil {
		l.t.Fatal(err)
	}
}

// running waits and returns what runs.
func (l *lone) running() []string {
	sleep(l.t.Context(), 10*time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.runs))
}

// session begins a session; the returned function ends its lease.
func (l *lone) session() (end func()) {
	ctx, end := context.WithCancel(l.t.Context())
	granted, err := l.records.Grant(ctx, 3600)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Session(ctx, granted.ID, nil)
	return end
}

// TestCutOff ends a machine's lease. The units go on running until the agent is told that the
// cluster may run them elsewhere. Those that cannot run elsewhere go on after that, too.
func TestCutOff(t *testing.T) {
	setLog()
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, 0)
		defer l.stop()
		fleet := func(name, value string) schema.UnitOption {
			return schema.UnitOption{Section: "X-Fleet", Name: name, Value: value}
		}
		l.put("web.service", schema.Launched, 1)
		l.put("bound.service", schema.Launched, 1, fleet("MachineID", "a"))
		l.put("global.service", schema.Launched, 1, fleet("Global", "true"))
		end := l.session()
		all := []string{"bound.service", "global.service", "web.service"}
		for _, step := range []struct {
			what string
			do   func()
			want []string
		}{
			{"with a lease", func() {}, all},
			{"the lease has ended", end, all},
			{"cut off", func() { l.CutOff(t.Context()) }, []string{"bound.service", "global.service"}},
			{"with a new lease", func() { end = l.session() }, all},
		} {
			step.do()
			if runs := l.running(); !slices.Equal(runs, step.want) {
				t.Errorf("%s: %v, want %v", step.what, runs, step.want)
			}
		}
		end()
	})
}

// TestCascade replaces a unit that another one on the same machine requires. systemd stops both;
// the agent starts both again.
func TestCascade(t *testing.T) {
	setLog()
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, 0)
		defer l.stop()
		l.put("back.service", schema.Launched, 1)
		l.put("front.service", schema.Launched, 1, schema.UnitOption{Section: "Unit", Name: "Requires", Value: "back.service"})
		defer l.session()()
		both := []string{"back.service", "front.service"}
		if runs := l.running(); !slices.Equal(runs, both) {
			t.Fatalf("at first: %v", runs)
		}
		for version := range 3 {
			l.put("back.service", schema.Launched, 2+version)
			if runs := l.running(); !slices.Equal(runs, both) {
				t.Errorf("with the version %d: %v", 2+version, runs)
			}
		}
		l.put("back.service", schema.Loaded, 4)
		if runs := l.running(); len(runs) > 0 {
			t.Errorf("what is required is only loaded: %v", runs)
		}
		l.put("back.service", schema.Launched, 4)
		if runs := l.running(); !slices.Equal(runs, both) {
			t.Errorf("and started again: %v", runs)
		}
	})
}

// TestNoStateIsLeft destroys a unit at the time when the agent, over a slow network, publishes its
// state. etcd must not keep that state.
func TestNoStateIsLeft(t *testing.T) {
	setLog()
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, seed)
			defer l.stop()
			l.client.Disturb(time.Second, 0)
			l.put("web.service", schema.Launched, 1)
			defer l.session()()
			sleep(t.Context(), time.Duration(seed)*200*time.Millisecond)
			if _, err := l.records.Txn(t.Context()).Then(
				clientv3.OpDelete(l.records.Assignment("a", "web.service")),
				clientv3.OpDelete(l.records.UnitStates("web.service"), clientv3.WithPrefix())).Commit(); err != nil {
				t.Fatal(err)
			}
			if runs := l.running(); len(runs) > 0 {
				t.Errorf("seed %d: it was destroyed and runs", seed)
			}
			if states, err := l.records.Read(t.Context(), l.records.States()); err != nil || len(states.Events) > 0 {
				t.Errorf("seed %d: %d states are left, %v", seed, len(states.Events), err)
			}
		})
	}
}
