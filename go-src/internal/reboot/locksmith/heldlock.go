package locksmith

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/status"
)

// action is what to do about a lock that this machine took earlier.
type action int

const (
	release action = iota
	keep           // and go on: the restart has not happened yet
	wait           // and do nothing
	failed         // and record it, so that no other machine restarts into that version
)

// lockAction returns what to do about the lock, by the result of the restart for which it
// was taken.
func (d *Daemon) lockAction(h semaphore.Holder, u status.Status) (action, string) {
	pending := u.Operation == status.NeedReboot
	sameBoot := h.BootID == d.BootID
	switch {
	case h.Why == semaphore.ByHand:
		return wait, fmt.Sprintf("locked by hand; locksmithctl unlock %s releases the lock", d.ID)
	case h.Why == semaphore.Reboot && sameBoot:
		return wait, "a person restarts the machine"
	case pending:
		return keep, ""
	case h.Failed != "" && (sameBoot || h.FailedVersion == h.To):
		return wait, d.failedText(h)
	case sameBoot:
		return release, "" // the update was withdrawn
	case !u.Proven:
		return wait, fmt.Sprintf("version %s is not proven healthy yet; the lock is kept", u.Version)
	case h.To != "" && u.Refused[h.To] == status.SetAside:
		return release, "" // a person's choice for this machine says nothing about the version
	case h.To != "" && u.Refused[h.To] != "":
		return failed, u.Refused[h.To]
	case h.To != "" && u.Version != h.To:
		return failed, fmt.Sprintf("the machine runs version %s instead", u.Version)
	}
	return release, ""
}

func (d *Daemon) failedText(h semaphore.Holder) string {
	return fmt.Sprintf("version %s failed here: %s; the lock is kept, so that no other machine follows, until a newer version runs or locksmithctl unlock %s", h.FailedVersion, h.Failed, d.ID)
}

// settleLock handles a lock that this machine took before an earlier restart.
func (d *Daemon) settleLock(ctx context.Context, p *evaluation) *block {
	if !p.status.Locked {
		return nil
	}
	s, err := d.readLock(ctx, p)
	if err != nil {
		return d.lockUnavailable(p, err)
	}
	h, held := s.Holds(d.ID)
	if !held {
		return nil
	}
	what, text := d.lockAction(h, p.update)
	switch what {
	case keep:
		return nil
	case wait:
		return p.block(coordinator.Running, recheck, text)
	case failed:
		slog.Error("the new version failed; the lock is kept", "version", h.To, "reason", text)
		if s, err = d.Lock.Change(ctx, func(s *semaphore.Semaphore) error { return s.Fail(d.ID, text) }); err != nil {
			return d.lockUnavailable(p, err)
		}
		p.status.Lock = s
		h, _ = s.Holds(d.ID)
		return p.block(coordinator.Running, recheck, d.failedText(h))
	}
	slog.Info("the lock is released", "version", p.update.Version)
	d.releaseLock(ctx, p)
	return nil
}

// clone returns a copy of the semaphore.
func clone(s *semaphore.Semaphore) *semaphore.Semaphore {
	copied, err := semaphore.Parse([]byte(s.String()))
	if err != nil { // String wrote it
		panic(err)
	}
	return copied
}

// queuePosition returns the position of a machine among those that wait, from 1. A machine
// that is not among them yet is last.
func queuePosition(id string, machines []lock.Machine) int {
	place := 1
	for _, m := range machines {
		if m.ID == id && m.Turn > 0 {
			return m.Turn
		}
		if m.Turn > 0 {
			place++
		}
	}
	return place
}

// steal takes the lock from holders that have been absent for StealAfter, except from those
// on which a version failed and those that were locked by hand. It measures the time by a
// clock that does not jump.
func (d *Daemon) steal(ctx context.Context, s *semaphore.Semaphore, machines []lock.Machine) {
	if d.StealAfter == 0 {
		return
	}
	present := map[string]bool{}
	for _, m := range machines {
		present[m.ID] = true
	}
	away := map[string]time.Time{}
	for _, id := range s.Holders {
		h, _ := s.Holds(id)
		if present[id] || h.Failed != "" || h.Why == semaphore.ByHand {
			continue
		}
		key := id + " " + h.BootID
		if away[key] = d.missing[key]; away[key].IsZero() {
			away[key] = time.Now()
		}
		if time.Since(away[key]) >= d.StealAfter {
			d.stealFrom(ctx, id, h)
		}
	}
	d.missing = away
}

func (d *Daemon) stealFrom(ctx context.Context, id string, seen semaphore.Holder) {
	_, err := d.Lock.Change(ctx, func(s *semaphore.Semaphore) error {
		if h, held := s.Holds(id); !held || h != seen {
			return nil // the machine has come back
		}
		return s.Unlock(id)
	})
	slog.Warn("the lock is taken from a machine that is gone", "machine", id, "host", seen.Host, "for", d.StealAfter, "error", err)
}
