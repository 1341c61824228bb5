package engine

import (
	"errors"
	"fmt"
	"log/slog"

	"coreos/internal/boot/slot"
	"coreos/internal/update/download"
	"coreos/internal/update/omaha"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

// Settle finds out whether the update that was installed before the restart succeeded. Run
// reports it to the server.
func (e *Engine) Settle() error {
	e.working <- struct{}{}
	defer e.finish()
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
		return fmt.Errorf("the result of the update to %s is not known: %w", pending.Version, err)
	}
	event := omaha.EventRequest{Type: omaha.EventUpdateComplete, PreviousVersion: pending.From, NextVersion: pending.Version}
	if pending.Boot == "" { // of a system up to 4891.0.0
		pending.Boot = e.boot
		if err := e.state.write(e.dir); err != nil {
			return err
		}
	}
	switch outcomeOf(pending, running, other, pending.Boot != e.boot) {
	case open:
		e.rest(nil)
		return nil
	case succeeded:
		slog.Info("the update succeeded", "version", pending.Version, "from", pending.From)
		event.Result = omaha.EventSuccessReboot
	case rolledBack:
		event.Result, event.ErrorCode, event.Reason = omaha.EventError, codeRolledBack, rollbackReason(other)
		slog.Error("the update was rolled back", "version", pending.Version, "reason", event.Reason)
		e.state.fail(pending.Version, event.Reason)
	case notFollowed:
		event.Result, event.ErrorCode, event.Reason = omaha.EventError, codeNotFollowed, status.NotFollowed
		slog.Error("the boot loader did not start the slot with the update: is the EFI-SYSTEM partition readable, does the firmware boot this disk?",
			"version", pending.Version, "slot", pending.Slot)
		e.state.fail(pending.Version, event.Reason)
		if err := e.machine.Keep(); err != nil {
			slog.Error("the running slot cannot be made the next one", "error", err)
		}
	case setAside:
		event.Result, event.ErrorCode, event.Reason = omaha.EventDeferred, codeSetAside, status.SetAside
		slog.Warn("somebody chose the slot without the update", "version", pending.Version, "slot", running.Slot)
		e.state.fail(pending.Version, event.Reason)
	}
	e.state.Pending = nil
	e.state.Events = append(e.state.Events, event)
	e.rest(nil)
	return e.state.write(e.dir)
}

type outcome int

const (
	open outcome = iota // not restarted yet, or not proven healthy yet
	succeeded
	rolledBack
	notFollowed // the loader started the old slot, although the new one was next
	setAside    // somebody chose the old slot
)

// outcomeOf returns what became of an update. restarted says whether the machine has been
// restarted since it was installed.
func outcomeOf(pending *Pending, running, other slot.Report, restarted bool) outcome {
	switch {
	case running.Slot == pending.Slot && running.Version == pending.Version && running.OK:
		return succeeded
	case running.Slot == pending.Slot:
		return open
	case other.Tries == 0:
		return rolledBack
	case !other.Next:
		return setAside
	case !restarted:
		return open
	case other.Tries < slot.MaxTries:
		return setAside // the loader started it once, so a person chose the other one in its menu
	default:
		return notFollowed
	}
}

func rollbackReason(other slot.Report) string {
	if other.Why == "" {
		return slot.NoTrace
	}
	return other.Why
}

// Error codes of events. They are upstream's where it has one for the same error.
const (
	codeError      = 1  // anything else
	codeTransfer   = 9  // the download failed
	codeWrongBytes = 10 // the bytes are not those of the release
	codeUntrusted  = 26 // the metadata is not signed, or is expired, older or of several versions
	codeDisk       = 5  // the slot could not be written
	codeRolledBack = 60 // the new version did not become healthy

	codeNotFollowed = 61 // the boot loader did not start the new version
	codeSetAside    = 62 // somebody chose the old slot; comes with omaha.EventDeferred
)

func codeOf(err error) int {
	for code, kinds := range map[int][]error{
		codeTransfer:   {download.ErrStalled, download.ErrStatus, download.ErrRange, download.ErrRedirect, download.ErrTooLong},
		codeWrongBytes: {slotwriter.ErrWrongBytes},
		codeUntrusted: {repository.ErrWrongKey, repository.ErrExpired, repository.ErrOlder, repository.ErrMixed,
			repository.ErrAhead, repository.ErrVersion, repository.ErrDelegation, repository.ErrMalformed},
		codeDisk: {slotwriter.ErrDisk, slotwriter.ErrTooLarge},
	} {
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return code
			}
		}
	}
	return codeError
}
