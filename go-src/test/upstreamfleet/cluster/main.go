// Command cluster runs machines of upstream's fleet v1.0.0 in one process, for comparison
// with ours: upstream's own agents, engines and registry on an etcd with the API of version
// 2, with its fake unit manager in place of systemd. Each machine has a client of its own.
//
// It submits units and prints "submitted" and "launched"; for a line on its standard input
// it stops some of the machines and prints "failover" when all units run elsewhere. If they do
// not run in time it prints "launched only" and how many do.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	etcd "github.com/coreos/etcd/client"
	"github.com/coreos/fleet/agent"
	"github.com/coreos/fleet/engine"
	"github.com/coreos/fleet/heart"
	"github.com/coreos/fleet/job"
	"github.com/coreos/fleet/machine"
	"github.com/coreos/fleet/pkg/lease"
	"github.com/coreos/fleet/registry"
	"github.com/coreos/fleet/unit"
)

// prefix and engineInterval are upstream's defaults.
const (
	prefix         = "/_coreos.com/fleet/"
	engineInterval = 2 * time.Second
)

var (
	endpoint = flag.String("etcd", "", "URL of etcd")
	machines = flag.Int("machines", 10, "")
	dead     = flag.Int("dead", 1, "machines that are stopped; the leader is not among them")
	files    = flag.String("units", "", "directory of the unit files that are submitted")
	ttl      = flag.Duration("ttl", 30*time.Second, "")
	limit    = flag.Duration("limit", 10*time.Minute, "how long it waits for units to be started")
)

// systemd records which units were started.
type systemd struct {
	*unit.FakeUnitManager
	mu      sync.Mutex
	started map[string]bool
}

func (s *systemd) TriggerStart(name string) error { s.set(name, true); return nil }
func (s *systemd) TriggerStop(name string) error  { s.set(name, false); return nil }

func (s *systemd) set(name string, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if started {
		s.started[name] = true
	} else {
		delete(s.started, name)
	}
}

// node is a machine.
type node struct {
	systemd *systemd
	stop    chan struct{}
}

func connect() (etcd.KeysAPI, error) {
	client, err := etcd.New(etcd.Config{Endpoints: []string{*endpoint}, Transport: &http.Transport{}, HeaderTimeoutPerRequest: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	return etcd.NewKeysAPI(client), nil
}

// start starts machine i, with the parts that upstream's server has. The machine 0 alone
// has an engine.
func start(i int) (*node, error) {
	keys, err := connect()
	if err != nil {
		return nil, err
	}
	n := &node{&systemd{FakeUnitManager: unit.NewFakeUnitManager(), started: map[string]bool{}}, make(chan struct{})}
	m := &machine.FakeMachine{MachineState: machine.MachineState{
		ID: fmt.Sprintf("%032x", i), PublicIP: "10.0.0.1", Version: "1.0.0", Metadata: map[string]string{"zone": fmt.Sprint(i % 3)},
	}}
	reg := registry.NewEtcdRegistry(keys, prefix)
	events := registry.NewEtcdEventStream(keys, prefix)
	generator := unit.NewUnitStateGenerator(n.systemd)
	a := agent.New(n.systemd, generator, reg, m, *ttl)
	h := heart.New(reg, m)
	if _, err := h.Register(*ttl); err != nil {
		return nil, err
	}
	beats := make(chan *unit.UnitStateHeartbeat)
	go n.beat(h)
	go a.Heartbeat(n.stop)
	go agent.NewReconciler(reg, events).Run(a, n.stop)
	go generator.Run(beats, n.stop)
	go agent.NewUnitStatePublisher(reg, m, *ttl).Run(beats, n.stop)
	if i == 0 {
		go engine.New(reg, lease.NewEtcdLeaseManager(keys, prefix), events, m, nil).Run(engineInterval, n.stop)
	}
	return n, nil
}

// beat renews the machine's record as often as upstream's monitor.
func (n *node) beat(h heart.Heart) {
	for {
		select {
		case <-n.stop:
			return
		case <-time.After(*ttl / 2):
			if _, err := h.Beat(*ttl); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
}

// running counts the units that were started on machines that run.
func running(nodes []*node) int {
	all := map[string]bool{}
	for _, n := range nodes {
		n.systemd.mu.Lock()
		for name := range n.systemd.started {
			all[name] = true
		}
		n.systemd.mu.Unlock()
	}
	return len(all)
}

// submit creates units as fleetctl start does, by 64 at a time as the test of ours.
func submit() (int, error) {
	entries, err := os.ReadDir(*files)
	if err != nil {
		return 0, err
	}
	keys, err := connect()
	if err != nil {
		return 0, err
	}
	reg := registry.NewEtcdRegistry(keys, prefix)
	var all sync.WaitGroup
	slots, failed := make(chan struct{}, 64), make(chan error, len(entries))
	for _, entry := range entries {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer func() { <-slots; all.Done() }()
			text, err := os.ReadFile(*files + "/" + entry.Name())
			if err == nil {
				err = create(reg, entry.Name(), string(text))
			}
			if err != nil {
				failed <- err
			}
		}()
	}
	all.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return len(entries), nil
	}
}

func create(reg *registry.EtcdRegistry, name, text string) error {
	file, err := unit.NewUnitFile(text)
	if err != nil {
		return err
	}
	return reg.CreateUnit(&job.Unit{Name: name, Unit: *file, TargetState: job.JobStateLaunched})
}

func run(ctx context.Context) error {
	var nodes []*node
	for i := range *machines {
		n, err := start(i)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	time.Sleep(2 * engineInterval) // until the engine leads
	fmt.Println("ready")
	units, err := submit()
	if err != nil {
		return err
	}
	fmt.Println("submitted")
	if n := await(ctx, nodes, units); n < units {
		fmt.Println("launched only", n)
		return nil
	}
	fmt.Println("launched")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	for _, n := range nodes[1 : 1+*dead] {
		close(n.stop)
	}
	nodes = append(nodes[:1:1], nodes[1+*dead:]...)
	if n := await(ctx, nodes, units); n < units {
		return fmt.Errorf("after the failover %d of %d units run", n, units)
	}
	fmt.Println("failover")
	return nil
}

// await waits for units to run, and returns how many do in the end.
func await(ctx context.Context, nodes []*node, units int) int {
	ctx, stop := context.WithTimeout(ctx, *limit)
	defer stop()
	for ctx.Err() == nil && running(nodes) < units {
		time.Sleep(50 * time.Millisecond)
	}
	return running(nodes)
}

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}
