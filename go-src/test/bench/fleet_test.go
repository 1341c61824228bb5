package bench

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/test/etcdtest"
)

// leaseTime is agent_ttl, as the product has it.
const leaseTime = 30 * time.Second

// idleTime is how long an idle cluster is watched.
const idleTime = 30 * time.Second

// submitters is how many units are submitted at a time.
const submitters = 64

// figures of a cluster.
type figures struct {
	submitted, launched, failover time.Duration
	changing                      traffic // from submit to launched
	idleRequests, idleKiB         float64 // in a second
	idleCPU                       float64 // of etcd, in percent of a processor
	fsync                         float64 // milliseconds that etcd's disk takes, in the mean
	started                       int     // units, if it came to nothing but that
}

// TestBenchFleet measures fleet on real etcd, with machines on simulated systemds: 1,000
// machines and 20,000 units; and fewer of both beside upstream's.
func TestBenchFleet(t *testing.T) {
	if os.Getenv("COREOS_OUTPUT") == "" {
		t.Skip("COREOS_OUTPUT is not set: run this by make bench")
	}
	slog.SetLogLoggerLevel(slog.LevelError) // the logs of a thousand machines would hide the figures
	t.Run("large", func(t *testing.T) {
		const machines, units = 1000, 20_000
		f := startFleet(t, machines, leaseTime)
		fmt.Printf("%d machines, %d units, leases of %s\n", machines, units, leaseTime)
		is := f.run(t, units, machines/10)
		is.print(figures{}, units)
		f.printLeader(t)
		f.printEvent(t)
		f.printBegin(t)
		f.printList(t, units)
		f.printLeaderLost(t, machines, units)
	})
	t.Run("reconcile", func(t *testing.T) { printReconcile(1000, 100) })
	for _, size := range []struct{ machines, units int }{{10, 700}, {100, 1000}} {
		t.Run(fmt.Sprintf("beside upstream %d", size.machines), func(t *testing.T) {
			var ours, theirs figures
			t.Run("ours", func(t *testing.T) {
				ours = startFleet(t, size.machines, leaseTime).run(t, size.units, size.machines/10)
			})
			t.Run("upstream", func(t *testing.T) { theirs = runUpstream(t, size.machines, size.units, size.machines/10) })
			fmt.Printf("%d machines, %d units, leases of %s, beside upstream's v1.0.0 (ratio)\n", size.machines, size.units, leaseTime)
			ours.print(theirs, size.units)
		})
	}
}

// run submits units, watches the cluster idle, and cuts off some machines.
func (f *fleet) run(t *testing.T, units, dead int) (is figures) {
	records := store.New(f.etcd.Client(t), store.DefaultPrefix)
	cluster := registry.New(records)
	defer cluster.Close()

	before, start := measure(t, f.etcd), time.Now()
	submit(t, cluster, units)
	is.submitted = time.Since(start)
	within(t, 5*time.Minute, "all launched", func() bool { return f.follows.without(nil) == units })
	is.launched = time.Since(start)
	is.changing = measure(t, f.etcd).since(before)
	cluster.Close()

	is.idle(t, f.etcd)
	is.failover = f.lose(t, 1, dead, units, func() {})
	return is
}

// lose stops machines from the first one on, does something else, and waits until all units
// run without them.
func (f *fleet) lose(t *testing.T, first, machines, units int, do func()) time.Duration {
	start := time.Now()
	gone := map[string]bool{}
	var stopping sync.WaitGroup
	for i := first; i < first+machines; i++ {
		gone[fmt.Sprintf("%032x", i)] = true
		stopping.Go(f.stops[i-1])
	}
	stopping.Go(do)
	stopping.Wait()
	within(t, 2*f.ttl+time.Minute, "failover", func() bool { return f.follows.without(gone) == units })
	return time.Since(start)
}

// printLeaderLost prints how long a failover of a tenth of the machines takes, after another
// one, if the leader is among them.
func (f *fleet) printLeaderLost(t *testing.T, machines, units int) {
	next := f.candidate(t, machines)
	cluster := registry.New(store.New(f.etcd.Client(t), store.DefaultPrefix))
	defer cluster.Close()
	id := fmt.Sprintf("%032x", machines)
	within(t, time.Minute, "another machine that can lead", func() bool {
		all, err := cluster.Machines(t.Context())
		return err == nil && slices.ContainsFunc(all, func(m schema.Machine) bool { return m.ID == id })
	})
	took := f.lose(t, 1+machines/10, machines/10, units, f.leader.kill)
	print("failover with the leader", took.Seconds(), 0, "s")
	f.leader = next
	f.leader.leads(t)
}

// idle measures a cluster in which nothing happens.
func (is *figures) idle(t *testing.T, etcd *etcdtest.Cluster) {
	time.Sleep(5 * time.Second)
	before := measure(t, etcd)
	time.Sleep(idleTime)
	took := measure(t, etcd).since(before)
	seconds := took.at.Sub(before.at).Seconds()
	is.idleRequests, is.idleKiB, is.idleCPU = took.requests/seconds, took.bytes/seconds/1024, took.cpu/seconds*100
	is.fsync = fsyncTime(t, etcd)
}

// submit has units launched.
func submit(t *testing.T, cluster *registry.Registry, units int) {
	t.Helper()
	var all sync.WaitGroup
	next := make(chan int)
	for range submitters {
		all.Go(func() {
			for i := range next {
				if err := cluster.Create(t.Context(), "bench", benchUnit(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range units {
		next <- i
	}
	close(next)
	all.Wait()
}

// benchUnit is a unit of about 1 KiB. Of ten, one is for a zone and one conflicts with the
// four others of its group.
func benchUnit(i int) schema.Unit {
	unit := schema.Unit{Name: fmt.Sprintf("app-%d@%d.service", i/50*10+i%10, i/10%5), DesiredState: schema.Launched}
	add := func(section, name, value string) {
		unit.Options = append(unit.Options, schema.UnitOption{Section: section, Name: name, Value: value})
	}
	add("Unit", "Description", "Application "+unit.Name)
	add("Unit", "After", "docker.service")
	for n := range 12 {
		add("Service", "Environment", fmt.Sprintf("SETTING_%d=value-of-setting-%d-of-unit-%d", n, n, i))
	}
	add("Service", "ExecStart", "/usr/bin/docker run --rm --name %p-%i example/application:1.0 --listen=0.0.0.0:8080")
	switch i % 10 {
	case 0:
		add("X-Fleet", "Conflicts", fmt.Sprintf("app-%d@*.service", i/50*10))
	case 1:
		add("X-Fleet", "MachineMetadata", fmt.Sprintf("zone=%d", i%zones))
	}
	return unit
}

// print prints the figures beside upstream's, if there are any.
func (is figures) print(theirs figures, units int) {
	if theirs.started > 0 {
		fmt.Printf("upstream had started %d of %d units when %s were over\n", theirs.started, units, theirs.launched)
		theirs = figures{submitted: theirs.submitted}
	}
	print("submitted", is.submitted.Seconds(), theirs.submitted.Seconds(), "s")
	print("from submit to launched", is.launched.Seconds(), theirs.launched.Seconds(), "s")
	print("failover of 10 % of the machines", is.failover.Seconds(), theirs.failover.Seconds(), "s")
	per := float64(units)
	print("etcd, submit to launched: requests", is.changing.requests/per, theirs.changing.requests/per, "/unit")
	print("etcd, submit to launched: bytes", is.changing.bytes/per/1024, theirs.changing.bytes/per/1024, "KiB/unit")
	print("etcd, idle: requests", is.idleRequests, theirs.idleRequests, "/s")
	print("etcd, idle: bytes", is.idleKiB, theirs.idleKiB, "KiB/s")
	print("etcd, idle: processor", is.idleCPU, theirs.idleCPU, "%")
	print("etcd's disk: fsync, mean", is.fsync, theirs.fsync, "ms")
}
