package fleettest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/daemon"
	"coreos/internal/fleet/guard"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/store"
)

// simulated is a machine with its daemon.
type simulated struct {
	id      string
	systemd *Systemd
	client  *Client
	run     string // the directory /run, which outlives the daemon, but not the boot
	// ill is set while calls of its systemd may fail, wasIll from then on.
	ill, wasIll bool
	boot        int
	// ahead is how much its clock has jumped.
	ahead   time.Duration
	stop    func() // ends the daemon; nil while it does not run
	unguard func()
}

// now returns the time on a machine's clock.
func (w *world) now(m *simulated) (now time.Duration) {
	w.locked(func() { now = time.Since(w.begin) + m.ahead })
	return now
}

// guard starts the guard of a machine.
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
		for sleep(ctx, 3*time.Second) { // as if the file of the lease had changed
			select {
			case changed <- struct{}{}:
			case <-ctx.Done():
			}
		}
	})
	m.unguard = func() { stop(); all.Wait() }
}

// memory returns a directory in memory: writing to it does not wait for a disk.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "fleettest")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
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

// off ends the daemon of a machine.
func (w *world) off(m *simulated) {
	if m.stop != nil {
		m.stop()
	}
}

// reboot restarts a machine: its units and the contents of /run are gone.
func (w *world) reboot(m *simulated) {
	m.systemd.Reboot()
	_ = os.Remove(filepath.Join(m.run, "lease"))
	m.boot++
}
