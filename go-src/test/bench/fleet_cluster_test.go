package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/daemon"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/host/metrics"
	"coreos/test/etcdtest"
	"coreos/test/fleettest"
)

// zones is the number of zones in the metadata of the machines.
const zones = 3

// fleet is a cluster of our machines, on simulated systemds, each with a client of etcd
// of its own. All but the leader are in this process.
type fleet struct {
	etcd    *etcdtest.Cluster
	ttl     time.Duration
	stops   []func()
	leader  *process
	follows *launched
}

// process is a machine that can lead, in a process of its own, so that its time and memory can
// be told from those of the others.
type process struct {
	metrics string // where they are
	kill    func()
}

// startFleet starts machines and waits until they are there.
func startFleet(t *testing.T, n int, ttl time.Duration) *fleet {
	f := &fleet{etcd: etcdtest.New(t, 1), ttl: ttl}
	f.leader = f.candidate(t, 0)
	f.leader.leads(t)
	for i := 1; i < n; i++ {
		client := f.etcd.Client(t)
		stop := startNode(t, store.New(client, store.DefaultPrefix), i, ttl, leader.NewMetrics(), true)
		f.stops = append(f.stops, func() { stop(); _ = client.Close() })
	}
	records := store.New(f.etcd.Client(t), store.DefaultPrefix)
	f.follows = follow(t, records)
	cluster := registry.New(records)
	defer cluster.Close()
	within(t, 2*time.Minute, fmt.Sprintf("%d machines", n), func() bool {
		all, err := cluster.Machines(t.Context())
		return err == nil && len(all) == n
	})
	return f
}

// startNode runs a machine until the returned function is called.
func startNode(t *testing.T, records *store.Store, i int, ttl time.Duration, leading *leader.Metrics, follower bool) func() {
	ctx, cancel := context.WithCancel(context.Background())
	id := fmt.Sprintf("%032x", i)
	node := &daemon.Node{
		Store: records, ID: id, Systemd: fleettest.NewSystemd(), TTL: ttl, Metrics: daemon.NewMetrics(), Leader: leading, Agent: agent.NewMetrics(), NeverLeads: follower,
		Describe: func() store.Machine { return machineRecord(i) },
	}
	var running sync.WaitGroup
	running.Go(func() { _ = node.Run(ctx) })
	stop := func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

func machineRecord(i int) store.Machine {
	return store.Machine{PublicIP: "10.0.0.1", Boot: "boot", CPUs: 8, Memory: 32 << 30, Metadata: map[string]string{"zone": fmt.Sprint(i % zones)}}
}

// candidate starts machine i, which can lead.
func (f *fleet) candidate(t *testing.T, i int) *process {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFleetLeader$")
	cmd.Env = append(os.Environ(), "FLEET_LEADER_ETCD="+f.etcd.Endpoint(0), "FLEET_LEADER_METRICS="+address, "FLEET_LEADER_TTL="+f.ttl.String(), fmt.Sprintf("FLEET_LEADER_MACHINE=%d", i))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(kill)
	return &process{"http://" + address + "/metrics", kill}
}

// leads waits until it does.
func (p *process) leads(t *testing.T) {
	within(t, 2*time.Minute, "a leader", func() bool {
		figures, err := scrape(p.metrics)
		return err == nil && figures["fleet_leader"] == 1
	})
}

// TestFleetLeader is the process of candidate.
func TestFleetLeader(t *testing.T) {
	endpoint, ttl := os.Getenv("FLEET_LEADER_ETCD"), os.Getenv("FLEET_LEADER_TTL")
	if endpoint == "" {
		t.Skip("it is a part of TestBenchFleet")
	}
	lease, err := time.ParseDuration(ttl)
	if err != nil {
		t.Fatal(err)
	}
	i, err := strconv.Atoi(os.Getenv("FLEET_LEADER_MACHINE"))
	if err != nil {
		t.Fatal(err)
	}
	m := leader.NewMetrics()
	if _, err := metrics.Serve(t.Context(), os.Getenv("FLEET_LEADER_METRICS"), m.Collectors()...); err != nil {
		t.Fatal(err)
	}
	startNode(t, store.New(etcdtest.Connect(t, endpoint), store.DefaultPrefix), i, lease, m, false)
	select {} // until it is killed
}

// launched counts the units that are launched, as etcd has it.
type launched struct {
	mu sync.Mutex
	on map[string]string // machine by unit
}

func follow(t *testing.T, records *store.Store) *launched {
	l := &launched{on: map[string]string{}}
	go records.Follow(t.Context(), records.States(), l.take)
	return l
}

func (l *launched) take(batch store.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, event := range batch.Events {
		name, id := event.Kind()
		state, err := store.Decode[store.State](event.Value)
		switch {
		case event.Value != nil && err == nil && state.Current == schema.Launched:
			l.on[name] = id
		case l.on[name] == id:
			delete(l.on, name)
		}
	}
}

// without counts those that are not on certain machines.
func (l *launched) without(ids map[string]bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, id := range l.on {
		if !ids[id] {
			n++
		}
	}
	return n
}

// within waits for something to become true.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %s not: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
