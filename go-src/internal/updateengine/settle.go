package updateengine

import (
	"context"
	"errors"
	"log/slog"

	"coreos/internal/download"
	"coreos/internal/install"
	"coreos/internal/omaha"
	"coreos/internal/repository"
	"coreos/internal/slot"
)

// Settle finds out what became of an update that was installed before the restart, and
// tells the server.
func (e *Engine) Settle(ctx context.Context) error {
	e.working.Lock()
	defer e.working.Unlock()
	return e.settle(ctx)
}

func (e *Engine) settle(ctx context.Context) error {
	pending := e.state.Pending
	if pending == nil {
		e.report(ctx)
		return nil
	}
	running, other, err := e.slots()
	if err != nil {
		return err
	}
	switch outcomeOf(pending, running, other) {
	case succeeded:
		slog.Info("update succeeded", "version", pending.Version, "from", pending.From)
		e.state.Pending = nil
		e.report(ctx, omaha.EventRequest{Type: omaha.EventUpdateComplete, Result: omaha.EventSuccessReboot, PreviousVersion: pending.From, NextVersion: pending.Version})
	case rolledBack:
		reason := rollbackReason(other)
		slog.Error("update was rolled back", "version", pending.Version, "reason", reason)
		e.state.Pending = nil
		e.state.fail(pending.Version, reason)
		e.report(ctx, omaha.EventRequest{
			Type: omaha.EventUpdateComplete, Result: omaha.EventError, ErrorCode: codeRolledBack,
			PreviousVersion: pending.From, NextVersion: pending.Version, Reason: reason,
		})
	}
	return e.end(ctx, nil, nil)
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
		return "it panicked, hung or lost power while starting"
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
		codeWrongBytes: {install.ErrWrongBytes},
		codeUntrusted:  {repository.ErrWrongKey, repository.ErrExpired, repository.ErrOlder, repository.ErrMixed},
		codeDisk:       {install.ErrDisk, install.ErrTooLarge},
	} {
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return code
			}
		}
	}
	return codeError
}
