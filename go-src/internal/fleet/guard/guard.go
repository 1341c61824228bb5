// Package guard stops the units that other machines may run when the daemon, which has to do it,
// was killed, does not start, or hangs.
package guard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/membership"
)

// Guard watches over the units of one machine.
type Guard struct {
	// LeaseFile is the file in which package membership keeps the lease.
	LeaseFile string
	// Changed receives when the file may have changed.
	Changed <-chan struct{}
	Systemd agent.Systemd
	// Keep reports whether units go on running when the lease has ended.
	Keep func() bool
	// Now is the clock of package membership; nil is the machine's.
	Now func() time.Duration
}

// grace is the time that a live daemon has to write that the lease lasts longer.
const grace = time.Second

// retryTime is the pause before the next attempt, if a unit could not be stopped.
const retryTime = 10 * time.Second

// Run guards until the context ends.
func (g *Guard) Run(ctx context.Context) {
	if g.Now == nil {
		g.Now = membership.Boottime
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := time.Duration(0) // the end of the lease for which units were stopped
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.Changed:
		case <-timer.C:
		}
		_, until := membership.Recall(g.LeaseFile)
		switch left := until + grace - g.Now(); {
		case until == 0 || until == done: // there is no lease, or nothing left to do
		case left > 0:
			timer.Reset(left)
		case g.stop(ctx, until):
			done = until
		default:
			timer.Reset(retryTime)
		}
	}
}

// stop stops the units that may run elsewhere since a lease has ended, and reports whether all have
// stopped. A live daemon does the same at the same time, which does no harm. stop ends when there
// is a new lease: the daemon starts units again then.
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
