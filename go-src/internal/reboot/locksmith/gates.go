package locksmith

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/status"
)

// known finds out what update-engine says, and whether the lock is needed.
func (d *Daemon) known(ctx context.Context, p *pass) *hold {
	var err error
	if p.update, err = d.Updates.Status(); err != nil {
		return p.trouble("whether a restart is needed is not known", err)
	}
	switch d.Strategy {
	case EtcdLock:
		p.status.Locked = true
	case BestEffort:
		// Where that cannot be found out the lock is the safe answer.
		if p.status.Locked, err = d.Host.RunsEtcd(ctx); err != nil {
			slog.Warn("whether etcd runs here is not known; the lock is asked for", "error", err)
			p.status.Locked = true
		}
	}
	if p.status.Locked && d.changed == nil {
		d.changed = d.Lock.Watch(ctx)
	}
	return nil
}

// needed asks whether there is anything to restart for.
func (d *Daemon) needed(_ context.Context, p *pass) *hold {
	if p.update.Operation != status.NeedReboot {
		d.freeSince = time.Time{}
		return p.hold(coordinator.Running, glance, "no restart is needed")
	}
	return nil
}

// inWindow asks the clock.
func (d *Daemon) inWindow(_ context.Context, p *pass) *hold {
	if d.Window == nil {
		return nil
	}
	now := d.Now()
	next := d.Window.Next(now)
	if next.Contains(now) {
		return nil
	}
	h := p.hold(coordinator.RebootPlanned, min(glance, next.Start.Sub(now)),
		fmt.Sprintf("waiting for the reboot window (%s), which opens at %s", d.Window, next.Start.Format("2006-01-02 15:04 MST")))
	h.Window = next.Start
	return h
}

// uninhibited asks logind whether a program keeps the machine up.
func (d *Daemon) uninhibited(ctx context.Context, p *pass) *hold {
	who, err := d.Host.Inhibitors(ctx)
	switch {
	case err != nil:
		return p.trouble("whether something inhibits a restart is not known", err)
	case len(who) > 0:
		return p.hold(coordinator.RebootPlanned, glance, "waiting for what inhibits a restart: "+strings.Join(who, ", "))
	}
	return nil
}

// turn waits until the lock is free and those are served who waited before.
func (d *Daemon) turn(ctx context.Context, p *pass) *hold {
	if !p.status.Locked {
		return nil
	}
	s, err := d.Lock.Get(ctx)
	if err != nil {
		return d.noLock(p, err)
	}
	p.status.Lock = s
	if _, held := s.Holds(d.ID); held {
		return nil
	}
	machines, err := d.Lock.Machines(ctx)
	if err != nil {
		return d.noLock(p, err)
	}
	// Nothing changes: it tells whether the lock would be given.
	if err := trial(s).Lock(d.ID, d.holder(p)); err != nil {
		d.freeSince = time.Time{}
		d.steal(ctx, s, machines)
		return d.waiting(p, glance, err.Error())
	}
	d.missing = map[string]time.Time{}
	if d.freeSince.IsZero() {
		d.freeSince = time.Now()
	}
	place := placeOf(d.ID, machines)
	if left := time.Duration(place-s.Free)*stagger - time.Since(d.freeSince); left > 0 {
		return d.waiting(p, left, fmt.Sprintf("%d machines are ahead", place-s.Free))
	}
	return nil
}

func (d *Daemon) waiting(p *pass, again time.Duration, text string) *hold {
	h := p.hold(coordinator.RebootPlanned, again, "waiting for the lock: "+text)
	h.Waits = true
	return h
}

func (d *Daemon) noLock(p *pass, err error) *hold {
	h := p.trouble("no restart without the lock", err)
	h.Waits = true
	return h
}

// take takes the lock, or keeps it.
func (d *Daemon) take(ctx context.Context, p *pass) *hold {
	if !p.status.Locked {
		return nil
	}
	s, err := d.Lock.Change(ctx, func(s *semaphore.Semaphore) error { return s.Lock(d.ID, d.holder(p)) })
	var full *semaphore.FullError
	var stopped *semaphore.StoppedError
	switch {
	case errors.As(err, &full) || errors.As(err, &stopped):
		return d.waiting(p, glance, err.Error())
	case err != nil:
		return d.noLock(p, err)
	}
	p.status.Lock = s
	return nil
}

func (d *Daemon) holder(p *pass) semaphore.Holder {
	return semaphore.Holder{
		Host: d.Name, Since: d.Now().UTC().Truncate(time.Second), Why: semaphore.Update,
		From: p.update.Version, To: p.update.NewVersion, BootID: d.BootID,
	}
}

// release gives the lock back, unless others must not have it.
func (d *Daemon) release(ctx context.Context, p *pass) {
	if !p.status.Locked {
		return
	}
	_, err := d.Lock.Change(ctx, func(s *semaphore.Semaphore) error {
		if h, _ := s.Holds(d.ID); h.Failed != "" && h.To != p.update.Version {
			return nil
		}
		if err := s.Unlock(d.ID); err != nil && !errors.Is(err, semaphore.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil { // it is settled as soon as etcd can be asked
		slog.Warn("the lock is not given back yet", "error", err)
	}
}

// warned gives people who are logged in some time.
func (d *Daemon) warned(ctx context.Context, p *pass) *hold {
	people, err := d.Host.Warn(ctx, fmt.Sprintf("System reboot in %d minutes!", loginTime/time.Minute))
	if err != nil {
		slog.Warn("whether people are logged in is not known", "error", err)
	}
	if people == 0 {
		return nil
	}
	text := fmt.Sprintf("people are logged in on %d terminals: the restart is delayed by %s", people, loginTime)
	d.Tell(p.hold(coordinator.RebootPlanned, 0, text).Status)
	slog.Info(text)
	select {
	case <-time.After(loginTime):
		return nil
	case <-ctx.Done():
		return p.hold(coordinator.RebootPlanned, 0, "the daemon ends")
	}
}

// drained runs the hooks. Without an end of theirs there is no restart.
func (d *Daemon) drained(ctx context.Context, p *pass) *hold {
	d.Tell(p.hold(coordinator.RebootPlanned, 0, "running the hooks of /etc/coreos/pre-reboot.d").Status)
	if err := d.Host.Drain(ctx); err != nil {
		d.Host.Resume(context.WithoutCancel(ctx))
		return p.hold(coordinator.RebootPlanned, drainedIn, "no restart now: "+err.Error())
	}
	return nil
}

// rebooted restarts the machine.
func (d *Daemon) rebooted(ctx context.Context, p *pass) *hold {
	kexec, err := d.Updates.PrepareReboot(ctx)
	if err == nil {
		err = d.Host.Reboot(ctx, kexec)
	}
	if err != nil {
		d.Host.Resume(context.WithoutCancel(ctx))
		return p.hold(coordinator.RebootPlanned, retry, "the machine does not restart: "+err.Error())
	}
	return p.hold(coordinator.Rebooting, goingDown, "the machine restarts")
}
