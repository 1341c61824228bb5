// Package locksmith restarts a machine after an update when all conditions are met: it is
// within the reboot window, no program inhibits a shutdown, the machine holds the lock of
// its group, and its hooks have drained it.
package locksmith

import (
	"context"
	"log/slog"
	"time"

	"coreos/internal/host/window"
	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/status"
)

// Strategy is REBOOT_STRATEGY.
type Strategy string

// The strategies.
const (
	EtcdLock   Strategy = "etcd-lock"   // restart with the lock of the group
	Reboot     Strategy = "reboot"      // restart without one
	Off        Strategy = "off"         // never restart
	BestEffort Strategy = "best-effort" // etcd-lock where etcd runs, else reboot; the default
)

// Updates is the status of update-engine.
type Updates interface {
	// Status returns the latest status, or an error that says why it is not known.
	Status() (status.Status, error)
	Changed() <-chan struct{}
}

// Lock is the lock of the machine's group.
type Lock interface {
	Get(context.Context) (*semaphore.Semaphore, error)
	Change(context.Context, func(*semaphore.Semaphore) error) (*semaphore.Semaphore, error)
	Watch(context.Context) <-chan struct{}
	Machines(context.Context) ([]lock.Machine, error)
}

// Host is the machine.
type Host interface {
	// RunsEtcd reports whether the machine uses etcd.
	RunsEtcd(context.Context) (bool, error)
	// Inhibitors returns the programs that inhibit a shutdown.
	Inhibitors(context.Context) ([]string, error)
	// Warn sends a message to the users who are logged in, and returns the number of their
	// terminals.
	Warn(ctx context.Context, message string) (int, error)
	// Drain runs the hooks before a restart. Resume runs them when there is no restart
	// after all.
	Drain(context.Context) error
	Resume(context.Context)
	// Reboot starts a restart of the machine.
	Reboot(context.Context) error
}

// Daemon restarts the machine. Fields that are not set are not used, except that Lock is
// required unless the strategy is Reboot.
type Daemon struct {
	ID       string // machine id
	Name     string // hostname
	BootID   string
	Strategy Strategy
	Window   *window.Window // nil: always
	// StealAfter is how long a holder may be absent before this machine takes the lock from
	// it; 0 is for ever.
	StealAfter time.Duration

	Updates Updates
	Lock    Lock
	Host    Host
	// Twice reports whether another machine has this one's id, and its host.
	Twice func() (host string, twice bool)
	// Tell is called with what the daemon does and waits for.
	Tell func(Status)
	// Now is the time of the machine's clock, which may jump.
	Now func() time.Time

	changed   <-chan struct{}      // changes of the lock, once it is needed
	freeSince time.Time            // since when this machine could take the lock
	missing   map[string]time.Time // since when each absent holder is absent
}

// Times of the daemon.
const (
	retry        = 15 * time.Second // after an error of etcd or D-Bus
	recheck      = 30 * time.Second // to notice what causes no event: the clock, inhibitors, absent holders
	stagger      = 5 * time.Second  // between the machines that wait for the lock, by their positions
	logoutTime   = 5 * time.Minute  // for users to log out
	shutdownTime = 15 * time.Minute // a shutdown takes at most
	retryHooks   = 5 * time.Minute  // after hooks failed
)

// evaluation is one evaluation of the conditions of a restart.
type evaluation struct {
	update status.Status
	status Status
}

// block says why the machine does not restart now.
type block struct {
	Status
	again time.Duration // evaluate again after that time, or earlier at an event
}

// condition is a condition of a restart. It returns nil if it is met.
type condition func(context.Context, *evaluation) *block

// Run restarts the machine whenever that is needed and possible, until the context ends.
func (d *Daemon) Run(ctx context.Context) error {
	d.missing = map[string]time.Time{}
	told, still := "", reminder{}
	for {
		h := d.evaluate(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if d.Tell(h.Status); h.Text != told {
			told = h.Text
			slog.Info(h.Text, "state", h.State)
		}
		still.look(h.Status)
		if !d.wait(ctx, h) {
			return nil
		}
	}
}

// wait waits until the conditions have to be evaluated again. While the machine shuts down,
// events are ignored.
func (d *Daemon) wait(ctx context.Context, h *block) bool {
	updated, changed := d.Updates.Changed(), d.changed
	if h.State == coordinator.Rebooting {
		updated, changed = nil, nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-updated:
	case <-changed:
	case <-time.After(h.again):
	}
	return true
}

// evaluate evaluates the conditions in order. If one after takeLock is not met, the lock is
// released for other machines.
func (d *Daemon) evaluate(ctx context.Context) *block {
	p := &evaluation{}
	for _, check := range []condition{d.readStatus, d.uniqueID, d.settleLock, d.restartNeeded, d.inWindow, d.notInhibited, d.lockAvailable, d.takeLock} {
		if h := check(ctx, p); h != nil {
			return h
		}
	}
	for _, check := range []condition{d.inWindow, d.warnUsers, d.readStatus, d.restartNeeded, d.inWindow, d.notInhibited, d.uniqueID, d.takeLock, d.drain, d.reboot} {
		if h := check(ctx, p); h != nil {
			if h.State != coordinator.Rebooting && ctx.Err() == nil {
				d.releaseLock(ctx, p)
			}
			return h
		}
	}
	panic("reboot always blocks")
}

func (p *evaluation) block(state coordinator.State, again time.Duration, text string) *block {
	s := p.status
	s.State, s.Text, s.Version = state, text, p.update.Version
	if p.update.Operation == status.NeedReboot {
		s.Next = p.update.NewVersion
	}
	return &block{s, again}
}

// unavailable blocks because etcd, D-Bus or update-engine could not be asked.
func (p *evaluation) unavailable(text string, err error) *block {
	state := coordinator.Running
	if p.update.Operation == status.NeedReboot {
		state = coordinator.RebootPlanned
	}
	h := p.block(state, retry, text+": "+err.Error())
	h.Trouble = true
	return h
}
