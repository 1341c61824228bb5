package fleettest

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/daemon"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/test/etcdtest"
)

// node runs a machine. The returned function ends it.
func node(t *testing.T, records *store.Store, id string, systemd *Systemd, ttl time.Duration) (stop func()) {
	return nodeWithLease(t, records, id, systemd, ttl, "")
}

// nodeWithLease is node with a LeaseFile, so that the next run takes over the lease.
func nodeWithLease(t *testing.T, records *store.Store, id string, systemd *Systemd, ttl time.Duration, leaseFile string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	n := &daemon.Node{
		Store: records, ID: id, Systemd: systemd, TTL: ttl, LeaseFile: leaseFile, Metrics: daemon.NewMetrics(), Leader: leader.NewMetrics(), Agent: agent.NewMetrics(),
		Describe: func() store.Machine { return store.Machine{PublicIP: "10.0.0.1", Boot: id} },
	}
	go func() { defer close(done); _ = n.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// until waits until the cluster is in a state.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s not: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestThreeMachines(t *testing.T) {
	cluster := etcdtest.New(t, 1, etcdtest.NoFsync())
	records := store.New(cluster.Client(t), store.DefaultPrefix)
	systemds := map[string]*Systemd{}
	stops := map[string]func(){}
	for _, id := range []string{"a", "b", "c"} {
		systemds[id] = NewSystemd()
		stops[id] = node(t, records, id, systemds[id], 3*time.Second)
	}
	fleet := registry.New(records)
	t.Cleanup(fleet.Close)
	ctx := context.Background()
	until(t, "three machines", func() bool {
		all, err := fleet.Machines(ctx)
		if err != nil {
			t.Log(err)
		}
		return err == nil && len(all) == 3
	})
	start := time.Now()
	for i := range 12 {
		name := fmt.Sprintf("u%d.service", i)
		if err := fleet.Create(ctx, "test", schema.Unit{Name: name, DesiredState: schema.Launched, Options: []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/sleep"}}}); err != nil {
			t.Fatal(err)
		}
	}
	launched := func() int {
		n := 0
		all, err := fleet.Units(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range all {
			if u.CurrentState == schema.Launched {
				n++
			}
		}
		return n
	}
	until(t, "12 units launched", func() bool { return launched() == 12 })
	t.Logf("launched after %s", time.Since(start))
	for id, systemd := range systemds {
		if n := systemd.Running(); n != 4 {
			t.Errorf("%s runs %d", id, n)
		}
	}
	stops["b"]()
	systemds["b"].Reboot()
	start = time.Now()
	until(t, "all on two machines", func() bool { return systemds["a"].Running()+systemds["c"].Running() == 12 })
	t.Logf("failover after %s", time.Since(start))
	if err := fleet.SetDrain(ctx, "test", "a", &schema.DrainRequest{Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	until(t, "a drained", func() bool { return systemds["a"].Running() == 0 && systemds["c"].Running() == 12 })
	for i := range 12 {
		if err := fleet.Destroy(ctx, "test", fmt.Sprintf("u%d.service", i)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "nothing left", func() bool {
		all, err := records.Read(ctx, "/_coreos.com/fleet/v3/")
		if err != nil {
			t.Fatal(err)
		}
		n := len(all.Events)
		return n == 4 && systemds["c"].Running() == 0 // two machines, a drain, the leader
	})
}

// TestAlarm restarts the daemon while etcd has the alarm NOSPACE, for several times of the lease. The
// units go on running, and what the API shows of a unit that ends is not that it runs.
func TestAlarm(t *testing.T) {
	cluster := etcdtest.New(t, 1, etcdtest.NoFsync())
	etcd := cluster.Client(t)
	records := store.New(etcd, store.DefaultPrefix)
	systemd, stopped := NewSystemd(), make(chan string, 8)
	systemd.Stopped = func(unit string) { stopped <- unit }
	const ttl = 3 * time.Second
	lease := filepath.Join(t.TempDir(), "lease")
	stop := nodeWithLease(t, records, "a", systemd, ttl, lease)
	fleet := registry.New(records)
	t.Cleanup(fleet.Close)
	shows := func(want map[string]string) func() bool {
		return func() bool {
			states, err := fleet.States(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			is := map[string]string{}
			for _, s := range states {
				is[s.Name] = s.SystemdSubState
			}
			return maps.Equal(is, want)
		}
	}
	for _, name := range []string{"a.service", "b.service"} {
		if err := fleet.Create(t.Context(), "test", schema.Unit{Name: name, DesiredState: schema.Launched, Options: []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/sleep"}}}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "both run", shows(map[string]string{"a.service": "running", "b.service": "running"}))
	alarm := func(action pb.AlarmRequest_AlarmAction) {
		request := &pb.AlarmRequest{Action: action, Alarm: pb.AlarmType_NOSPACE, MemberID: 1}
		if _, err := pb.NewMaintenanceClient(etcd.ActiveConnection()).Alarm(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	alarm(pb.AlarmRequest_ACTIVATE)
	stop()
	nodeWithLease(t, records, "a", systemd, ttl, lease)
	select {
	case unit := <-stopped:
		t.Fatalf("%s was stopped during the alarm", unit)
	case <-time.After(3 * ttl):
	}
	if want := map[string]string{"a.service": "running", "b.service": "running"}; !shows(want)() {
		t.Error("the API does not show that both units run")
	}
	systemd.Ends("b.service")
	until(t, "the API shows a alone", shows(map[string]string{"a.service": "running"}))
	alarm(pb.AlarmRequest_DEACTIVATE)
	until(t, "the API shows that b is dead", shows(map[string]string{"a.service": "running", "b.service": "dead"}))
}
