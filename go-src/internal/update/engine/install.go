package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"coreos/internal/update/omaha"
	"coreos/internal/update/release"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

// Apply installs an offer that a person made, such as a bundle.
func (e *Engine) Apply(ctx context.Context, offer *Offer) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.finish()
	if err := e.judge(offer.Version, true); err != nil {
		return e.end(ctx, nil, fmt.Errorf("version %s is not installed: %w", offer.Version, err))
	}
	return e.install(ctx, offer)
}

// install installs an offer, unless that version is installed already.
func (e *Engine) install(ctx context.Context, offer *Offer) error {
	if e.state.Pending != nil && e.state.Pending.Version == offer.Version {
		return e.end(ctx, nil, nil)
	}
	e.change(func(s *status.Status) {
		s.Operation, s.NewVersion, s.NewNotes, s.LastError = status.Available, offer.Version, "", ""
	})
	from, to, err := e.slots()
	if err != nil {
		return e.end(ctx, offer, err)
	}
	if !from.OK {
		return e.end(ctx, nil, ErrUnproven)
	}
	manifest, files, err := offer.Open(ctx)
	if err != nil {
		return e.end(ctx, offer, err)
	}
	if least := manifest.MinimumVersion; least != "" && release.Compare(e.config.Version, least) < 0 {
		return e.end(ctx, offer, fmt.Errorf("version %s needs version %s: %w", manifest.Version, least, ErrTooOld))
	}
	e.change(func(s *status.Status) { s.NewNotes = manifest.Notes })
	slog.Info("the update begins", "version", offer.Version, "slot", to.Slot)
	e.report(ctx, omaha.EventRequest{Type: omaha.EventDownloadStarted, Result: omaha.EventSuccess, NextVersion: offer.Version})
	// The slot is about to be overwritten, so an update that was installed there before is
	// lost.
	e.state.Pending = nil
	if err := e.state.write(e.dir); err != nil {
		return e.end(ctx, offer, err)
	}
	if err := e.machine.Install(ctx, manifest, files, e.progress()); err != nil {
		return e.end(ctx, offer, err)
	}
	return e.installed(ctx, &Pending{Version: offer.Version, From: e.config.Version, Slot: to.Slot, Boot: e.boot, Notes: manifest.Notes})
}

// progress returns a function that takes the progress of the installation. It notifies at
// each percent and each change of the operation, not at each block.
func (e *Engine) progress() func(slotwriter.Progress) {
	var clock clock
	var told status.Status
	return func(p slotwriter.Progress) {
		now := status.Status{Operation: operationOf(p.State), Fetched: p.Fetched, Total: p.Total}
		if now.Operation == told.Operation && now.Progress()-told.Progress() < 0.01 {
			return
		}
		told = now
		e.change(func(s *status.Status) {
			s.Operation, s.Fetched, s.Total = now.Operation, now.Fetched, now.Total
			s.Left = clock.left(time.Now(), now.Fetched, now.Total)
		})
	}
}

// installed records an update that the next restart boots.
func (e *Engine) installed(ctx context.Context, pending *Pending) error {
	e.state.Pending = pending
	// A version that was installed again on request gets a new chance.
	delete(e.state.Failed, pending.Version)
	e.report(ctx,
		omaha.EventRequest{Type: omaha.EventDownloadFinished, Result: omaha.EventSuccess, NextVersion: pending.Version},
		omaha.EventRequest{Type: omaha.EventUpdateComplete, Result: omaha.EventSuccess, NextVersion: pending.Version})
	slog.Info("the update is installed, the machine needs a restart", "version", pending.Version, "slot", pending.Slot)
	return e.end(ctx, nil, nil)
}

// PrepareReboot prepares a restart, and returns whether it is to be by kexec. It waits for
// an installation in progress, which the restart would interrupt.
func (e *Engine) PrepareReboot() (kexec bool, err error) {
	e.working <- struct{}{}
	defer e.finish()
	if !e.config.Kexec || e.state.Pending == nil {
		return false, nil
	}
	if err := e.machine.LoadNext(); err != nil {
		slog.Warn("kexec is not possible, so the machine restarts through its firmware", "error", err)
		return false, nil
	}
	return true, nil
}

// Reset forgets the installed update: the running slot stays the next to boot.
func (e *Engine) Reset(ctx context.Context) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.finish()
	if e.state.Pending != nil {
		if err := e.machine.Keep(); err != nil {
			return err
		}
		e.state.Pending = nil
	}
	clear(e.state.Failed)
	if err := e.state.write(e.dir); err != nil {
		return err
	}
	return e.end(ctx, nil, nil)
}
