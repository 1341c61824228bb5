// Package guard stops units that other machines may run, when the daemon that has to
// do so is not there: because it was ended, cannot be started, or hangs.
package guard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/membership"
)

// Guard looks after the units of one machine.
type Guard struct {
	// LeaseFile is the daemon's, as membership writes it.
	LeaseFile string
	// Changed says that the file may have changed.
	Changed <-chan struct{}
	Systemd agent.Systemd
	// Keep has units go on running.
	Keep func() bool
	// Now is fleetpresence's clock; nil is the machine's.
	Now func() time.Duration
}

// grace is how long a daemon has that lives to write that the lease lasts longer.
const grace = time.Second

// retry is before units are stopped again, if one could not be.
const retry = 10 * time.Second

// Run guards until the context ends.
func (g *Guard) Run(ctx context.Context) {
	if g.Now == nil {
		g.Now = membership.Boottime
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := time.Duration(0) // of which lease the end was seen to
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.Changed:
		case <-timer.C:
		}
		_, until := membership.Recall(g.LeaseFile)
		switch left := until + grace - g.Now(); {
		case until == 0 || until == done: // nobody waits for the machine
		case left > 0:
			timer.Reset(left)
		case g.stop(ctx, until):
			done = until
		default:
			timer.Reset(retry)
		}
	}
}

// stop stops what may run elsewhere since a lease has ended, and reports whether it has. A
// daemon that lives does the same, which does no harm; but once there is a new lease, what
// is started is meant to run.
func (g *Guard) stop(ctx context.Context, until time.Duration) (all bool) {
	if g.Keep() {
		slog.Warn("fleetd has not renewed the machine's lease: its units go on running, and others may run them as well")
		return true
	}
	units, err := g.Systemd.Units(ctx)
	if err != nil {
		slog.Error("the machine's units cannot be read", "error", err)
		return false
	}
	all = true
	var stopping sync.WaitGroup
	var mu sync.Mutex
	for name, found := range units {
		if !found.Launched || agent.Stays(name, found) {
			continue
		}
		if _, now := membership.Recall(g.LeaseFile); now != until {
			break
		}
		slog.Warn("stopping a unit: fleetd has not renewed the machine's lease and another machine may run it", "unit", name)
		stopping.Go(func() {
			if err := g.Systemd.Stop(ctx, name); err != nil {
				slog.Error("a unit could not be stopped", "unit", name, "error", err)
				mu.Lock()
				defer mu.Unlock()
				all = false
			}
		})
	}
	stopping.Wait()
	return all
}
