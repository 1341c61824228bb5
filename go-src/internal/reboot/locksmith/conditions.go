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

// readStatus reads the status of update-engine, and finds out whether the lock is needed.
func (d *Daemon) readStatus(ctx context.Context, p *evaluation) *block {
	var err error
	if p.update, err = d.Updates.Status(); err != nil {
		return p.unavailable("whether a restart is needed is not known", err)
	}
	switch d.Strategy {
	case EtcdLock:
		p.status.Locked = true
	case BestEffort:
		// If that is not known, asking for the lock is safe.
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

// uniqueID blocks while another machine of the group has this one's id: the lock knows them by it, so
// that each would take the lock of the other for its own.
func (d *Daemon) uniqueID(_ context.Context, p *evaluation) *block {
	if !p.status.Locked || d.Twice == nil {
		return nil
	}
	host, twice := d.Twice()
	if !twice {
		return nil
	}
	return p.unavailable("no restart with the lock", fmt.Errorf("another machine, %s, has the id %s, too: empty /etc/machine-id on one of the two and restart it", host, d.ID))
}

// restartNeeded blocks if no restart is needed.
func (d *Daemon) restartNeeded(_ context.Context, p *evaluation) *block {
	if p.update.Operation != status.NeedReboot {
		d.freeSince = time.Time{}
		return p.block(coordinator.Running, recheck, "no restart is needed")
	}
	return nil
}

// inWindow blocks outside of the reboot window.
func (d *Daemon) inWindow(_ context.Context, p *evaluation) *block {
	if d.Window == nil {
		return nil
	}
	now := d.Now()
	next := d.Window.Next(now)
	if next.Contains(now) {
		return nil
	}
	h := p.block(coordinator.RebootPlanned, min(recheck, next.Start.Sub(now)),
		fmt.Sprintf("waiting for the reboot window (%s), which opens at %s", d.Window, next.Start.Format("2006-01-02 15:04 MST")))
	h.Window = next.Start
	return h
}

// notInhibited blocks if a program inhibits a shutdown.
func (d *Daemon) notInhibited(ctx context.Context, p *evaluation) *block {
	who, err := d.Host.Inhibitors(ctx)
	switch {
	case err != nil:
		return p.unavailable("whether something inhibits a restart is not known", err)
	case len(who) > 0:
		return p.block(coordinator.RebootPlanned, recheck, "waiting for what inhibits a restart: "+strings.Join(who, ", ")+"; systemd-inhibit --list names the processes, systemctl start reboot.target restarts all the same")
	}
	return nil
}

// lockAvailable blocks until the lock is free and the machines that waited before have had
// their turn.
func (d *Daemon) lockAvailable(ctx context.Context, p *evaluation) *block {
	if !p.status.Locked {
		return nil
	}
	s, err := d.readLock(ctx, p)
	if err != nil {
		return d.lockUnavailable(p, err)
	}
	if _, held := s.Holds(d.ID); held {
		return nil
	}
	machines, err := d.Lock.Machines(ctx)
	if err != nil {
		return d.lockUnavailable(p, err)
	}
	// This changes only a copy, to find out whether the lock would be granted.
	if err := clone(s).Lock(d.ID, d.holder(p)); err != nil {
		d.freeSince = time.Time{}
		d.steal(ctx, s, machines)
		return d.waitForLock(p, recheck, err.Error())
	}
	d.missing = map[string]time.Time{}
	if d.freeSince.IsZero() {
		d.freeSince = time.Now()
	}
	place := queuePosition(d.ID, machines)
	if left := time.Duration(place-s.Free)*stagger - time.Since(d.freeSince); left > 0 {
		return d.waitForLock(p, left, fmt.Sprintf("%d machines are ahead", place-s.Free))
	}
	return nil
}

// readLock reads the lock, and notes it in the status.
func (d *Daemon) readLock(ctx context.Context, p *evaluation) (*semaphore.Semaphore, error) {
	s, err := d.Lock.Get(ctx)
	if err == nil {
		p.status.Lock = s
	}
	return s, err
}

func (d *Daemon) waitForLock(p *evaluation, again time.Duration, text string) *block {
	h := p.block(coordinator.RebootPlanned, again, "waiting for the lock: "+text)
	h.Waits = true
	return h
}

func (d *Daemon) lockUnavailable(p *evaluation, err error) *block {
	h := p.unavailable("no restart without the lock", err)
	h.Waits = true
	return h
}

// takeLock takes the lock, or keeps it.
func (d *Daemon) takeLock(ctx context.Context, p *evaluation) *block {
	if !p.status.Locked {
		return nil
	}
	s, err := d.Lock.Change(ctx, func(s *semaphore.Semaphore) error { return s.Lock(d.ID, d.holder(p)) })
	var full *semaphore.FullError
	var stopped *semaphore.StoppedError
	switch {
	case errors.As(err, &full) || errors.As(err, &stopped):
		return d.waitForLock(p, recheck, err.Error())
	case err != nil:
		return d.lockUnavailable(p, err)
	}
	p.status.Lock = s
	return nil
}

func (d *Daemon) holder(p *evaluation) semaphore.Holder {
	return semaphore.Holder{
		Host: d.Name, Since: d.Now().UTC().Truncate(time.Second), Why: semaphore.Update,
		From: p.update.Version, To: p.update.NewVersion, BootID: d.BootID,
	}
}

// releaseLock releases the lock, unless it has to keep other machines from a version that
// failed here.
func (d *Daemon) releaseLock(ctx context.Context, p *evaluation) {
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
	if err != nil { // settleLock does it once etcd is reachable
		slog.Warn("the lock is not released yet", "error", err)
	}
}

// warnUsers warns the users who are logged in, and gives them time to log out.
func (d *Daemon) warnUsers(ctx context.Context, p *evaluation) *block {
	people, err := d.Host.Warn(ctx, fmt.Sprintf("System reboot in %d minutes!", logoutTime/time.Minute))
	if err != nil {
		slog.Warn("whether people are logged in is not known", "error", err)
	}
	if people == 0 {
		return nil
	}
	text := fmt.Sprintf("people are logged in on %d terminals: the restart is delayed by %s", people, logoutTime)
	d.Tell(p.block(coordinator.RebootPlanned, 0, text).Status)
	slog.Info(text)
	select {
	case <-time.After(logoutTime):
		return nil
	case <-ctx.Done():
		return p.block(coordinator.RebootPlanned, 0, "the daemon ends")
	}
}

// drain runs the hooks. The machine does not restart unless all succeed.
func (d *Daemon) drain(ctx context.Context, p *evaluation) *block {
	d.Tell(p.block(coordinator.RebootPlanned, 0, "running the hooks of /etc/coreos/pre-reboot.d").Status)
	if err := d.Host.Drain(ctx); err != nil {
		d.Host.Resume(context.WithoutCancel(ctx))
		return p.block(coordinator.RebootPlanned, retryHooks, "no restart now: "+err.Error())
	}
	return nil
}

// reboot restarts the machine.
func (d *Daemon) reboot(ctx context.Context, p *evaluation) *block {
	if err := d.Host.Reboot(ctx); err != nil {
		d.Host.Resume(context.WithoutCancel(ctx))
		return p.block(coordinator.RebootPlanned, retry, "the machine does not restart: "+err.Error())
	}
	return p.block(coordinator.Rebooting, shutdownTime, "the machine restarts")
}
