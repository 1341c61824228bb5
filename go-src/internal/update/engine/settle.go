package engine

import (
	"errors"
	"fmt"
	"log/slog"

	"coreos/internal/update/status"

	"coreos/internal/boot/slot"
	"coreos/internal/update/download"
	"coreos/internal/update/omaha"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
)

// Settle finds out what became of an update that was installed before the restart. The
// server hears of it later, from Run.
func (e *Engine) Settle() error {
	e.working.Lock()
	defer e.working.Unlock()
	return e.settle()
}

func (e *Engine) settle() error {
	running, other, err := e.slots()
	if err == nil && running.OK != e.Status().Proven {
		e.change(func(s *status.Status) { s.Proven = running.OK })
	}
	pending := e.state.Pending
	if pending == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("what became of the update to %s is not known: %w", pending.Version, err)
	}
	event := omaha.EventRequest{Type: omaha.EventUpdateComplete, PreviousVersion: pending.From, NextVersion: pending.Version}
	switch outcomeOf(pending, running, other) {
	case open:
		e.rest(nil)
		return nil
	case succeeded:
		slog.Info("update succeeded", "version", pending.Version, "from", pending.From)
		event.Result = omaha.EventSuccessReboot
	case rolledBack:
		event.Result, event.ErrorCode, event.Reason = omaha.EventError, codeRolledBack, rollbackReason(other)
		slog.Error("update was rolled back", "version", pending.Version, "reason", event.Reason)
		e.state.fail(pending.Version, event.Reason)
	}
	e.state.Pending = nil
	e.state.Events = append(e.state.Events, event)
	e.rest(nil)
	return e.state.write(e.dir)
}

type outcome int

const (
	open outcome = iota // not restarted yet, or not proven
	succeeded
	rolledBack
)

func outcomeOf(pending *Pending, running, other slot.Report) outcome {
	switch {
	case running.Slot == pending.Slot && running.Version == pending.Version && running.OK:
		return succeeded
	case running.Slot == pending.Slot:
		return open
	case other.Next && other.Tries > 0:
		return open
	default:
		return rolledBack
	}
}

func rollbackReason(other slot.Report) string {
	if other.Why == "" {
		return slot.NoTrace
	}
	return other.Why
}

// Error codes of events: upstream's where it had one for the same trouble.
const (
	codeError      = 1  // anything else
	codeTransfer   = 9  // the download did not come to its end
	codeWrongBytes = 10 // not the bytes of the release
	codeUntrusted  = 26 // metadata that is not signed, expired, older or mixed
	codeDisk       = 5  // the slot could not be written
	codeRolledBack = 60 // the new version did not become healthy
)

func codeOf(err error) int {
	for code, kinds := range map[int][]error{
		codeTransfer:   {download.ErrStalled, download.ErrStatus, download.ErrRange, download.ErrRedirect, download.ErrTooLong},
		codeWrongBytes: {slotwriter.ErrWrongBytes},
		codeUntrusted:  {repository.ErrWrongKey, repository.ErrExpired, repository.ErrOlder, repository.ErrMixed},
		codeDisk:       {slotwriter.ErrDisk, slotwriter.ErrTooLarge},
	} {
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return code
			}
		}
	}
	return codeError
}
