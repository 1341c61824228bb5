// Package locksmith restarts a machine when update-engine says that it needs that, at a
// time that suits: within the reboot window, when nothing inhibits it, when the machine
// holds the lock of its group, and after what has to be drained is drained.
package locksmith

import (
	"context"
	"log/slog"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/reboot/window"
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

// Updates is update-engine.
type Updates interface {
	// Status is the latest status, or why it is not known.
	Status() (status.Status, error)
	Changed() <-chan struct{}
	// PrepareReboot makes the machine ready for a restart.
	PrepareReboot(context.Context) (kexec bool, err error)
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
	// RunsEtcd reports whether the machine has an etcd to ask.
	RunsEtcd(context.Context) (bool, error)
	// Inhibitors names what keeps the machine from shutting down.
	Inhibitors(context.Context) ([]string, error)
	// Warn tells the people who are logged in, and returns how many terminals they have.
	Warn(ctx context.Context, message string) (int, error)
	// Drain runs the hooks before a restart, and Resume tells them that there is none.
	Drain(context.Context) error
	Resume(context.Context)
	// Reboot has the machine restart. It returns when that has begun.
	Reboot(ctx context.Context, kexec bool) error
}

// Daemon is the daemon of a machine. What is not set is not used, but for Lock, which
// may be nil only if the strategy is Reboot.
type Daemon struct {
	ID       string // machine id
	Name     string // hostname
	BootID   string
	Strategy Strategy
	Window   *window.Window // nil: always
	// StealAfter is how long a holder may have been away before its lock is taken from
	// it; 0: for ever.
	StealAfter time.Duration

	Updates Updates
	Lock    Lock
	Host    Host
	// Tell is told what the daemon does and waits for.
	Tell func(Status)
	// Now is the time of the machine's clock, which may jump.
	Now func() time.Time

	changed   <-chan struct{}      // of the lock, once it is needed
	freeSince time.Time            // when the lock was first seen free for this machine
	missing   map[string]time.Time // when a holder was first seen to be away
}

// Times of the daemon.
const (
	retry     = 15 * time.Second // after trouble with etcd or D-Bus
	glance    = 30 * time.Second // to notice what nobody tells: clocks, inhibitors, holders that are gone
	stagger   = 5 * time.Second  // of those that wait for the lock, by their places
	loginTime = 5 * time.Minute  // for people to end what they do
	goingDown = 15 * time.Minute // a shutdown takes at most
	drainedIn = 5 * time.Minute  // until hooks that failed are tried again
)

// pass is one look at everything that a restart depends on.
type pass struct {
	update status.Status
	status Status
}

// hold says why a pass ends without a restart.
type hold struct {
	Status
	again time.Duration // look again after that time, if nothing is told before
}

// gate is a condition of a restart.
type gate func(context.Context, *pass) *hold

// Run restarts the machine whenever it has to be, until the context ends.
func (d *Daemon) Run(ctx context.Context) error {
	d.missing = map[string]time.Time{}
	told := ""
	for {
		h := d.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if d.Tell(h.Status); h.Text != told {
			told = h.Text
			slog.Info(h.Text, "state", h.State)
		}
		if !d.wait(ctx, h) {
			return nil
		}
	}
}

// wait waits until there is something to look at. A machine that goes down does not
// look before its time is up.
func (d *Daemon) wait(ctx context.Context, h *hold) bool {
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

// look goes through the gates. Those behind the lock are passed while it is held; if one
// is closed, others get it.
func (d *Daemon) look(ctx context.Context) *hold {
	p := &pass{}
	for _, open := range []gate{d.known, d.settled, d.needed, d.inWindow, d.uninhibited, d.turn, d.take} {
		if h := open(ctx, p); h != nil {
			return h
		}
	}
	for _, open := range []gate{d.inWindow, d.warned, d.known, d.needed, d.inWindow, d.uninhibited, d.take, d.drained, d.rebooted} {
		if h := open(ctx, p); h != nil {
			if h.State != coordinator.Rebooting && ctx.Err() == nil {
				d.release(ctx, p)
			}
			return h
		}
	}
	panic("the last gate never opens: the machine goes down")
}

func (p *pass) hold(state coordinator.State, again time.Duration, text string) *hold {
	s := p.status
	s.State, s.Text, s.Version = state, text, p.update.Version
	if p.update.Operation == status.NeedReboot {
		s.Next = p.update.NewVersion
	}
	return &hold{s, again}
}

// trouble is a hold because somebody could not be asked.
func (p *pass) trouble(text string, err error) *hold {
	state := coordinator.Running
	if p.update.Operation == status.NeedReboot {
		state = coordinator.RebootPlanned
	}
	h := p.hold(state, retry, text+": "+err.Error())
	h.Trouble = true
	return h
}
