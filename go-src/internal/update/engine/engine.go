// Package engine keeps a machine up to date: it asks whether there is a newer
// version, has it written to the other slot, and finds out after the restart what became
// of it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"coreos/internal/update/status"

	"coreos/internal/boot/slot"
	updateconf "coreos/internal/update/config"
	"coreos/internal/update/omaha"
	"coreos/internal/update/release"
	"coreos/internal/update/slotwriter"
)

// Errors that say why an offered version is not installed.
var (
	ErrDowngrade  = errors.New("it is older than the running version; ALLOW_DOWNGRADE=true in update.conf takes it")
	ErrPinned     = errors.New("it is not the version that PIN in update.conf asks for")
	ErrRolledBack = errors.New("it was rolled back on this machine; update_engine_client -update tries it again")
	ErrTooOld     = errors.New("the running version is too old for it; install a version in between first")
	ErrUnproven   = errors.New("the running slot is not proven healthy yet, so the other one is still needed")
)

// isPolicy tells errors by which an offer is refused from those that are trouble.
func isPolicy(err error) bool {
	return errors.Is(err, ErrDowngrade) || errors.Is(err, ErrPinned) || errors.Is(err, ErrRolledBack) || errors.Is(err, ErrTooOld)
}

// Offer is a version that someone has for this machine.
type Offer struct {
	Version string
	// Open checks the repository that has it and returns its description and files.
	Open func(context.Context) (*release.Manifest, slotwriter.Files, error)
}

// Answer is what a server says to a machine that asks.
type Answer struct {
	Offer *Offer // nil: no update
	// Interval is when to ask again, 0 if the server does not say.
	Interval time.Duration
}

// Server knows which version a machine should have, and listens to what became of it.
type Server interface {
	Check(ctx context.Context, explicit bool) (Answer, error)
	Report(ctx context.Context, events []omaha.EventRequest) error
}

// Machine is what the engine works on.
type Machine interface {
	// Slots describes both slots.
	Slots() ([]slot.Report, error)
	// Install writes a release into the slot that does not run and makes it the next.
	Install(context.Context, *release.Manifest, slotwriter.Files, func(slotwriter.Progress)) error
	// Keep makes the running slot the next again.
	Keep() error
	// LoadNext loads the next slot's kernel, so that a restart can be by kexec.
	LoadNext() error
}

// Engine is the daemon's work. Its methods may be called at the same time.
type Engine struct {
	config  *updateconf.Config
	server  Server // nil: nobody is asked
	machine Machine
	dir     string
	notify  func(status.Status)

	// working is held by whoever checks or installs.
	working sync.Mutex
	state   *State

	mu     sync.Mutex
	status status.Status

	wake chan struct{}
}

// New makes an engine that keeps its state in a directory. notify is told of every
// change of the status.
func New(config *updateconf.Config, server Server, machine Machine, dir string, notify func(status.Status)) *Engine {
	state, err := readState(dir)
	if err != nil {
		slog.Warn("what was known of earlier updates is lost", "error", err)
	}
	return &Engine{
		config: config, server: server, machine: machine, dir: dir, notify: notify, state: state,
		status: status.Status{Operation: status.Idle, Version: config.Version, Refused: maps.Clone(state.Failed)}, wake: make(chan struct{}, 1),
	}
}

// Status returns the status.
func (e *Engine) Status() status.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// change changes the status and tells about it.
func (e *Engine) change(f func(*status.Status)) {
	e.mu.Lock()
	f(&e.status)
	status := e.status
	e.mu.Unlock()
	e.notify(status)
}

// Run asks again and again, until the context ends.
func (e *Engine) Run(ctx context.Context) error {
	e.flush(ctx)
	if e.server == nil {
		slog.Info("neither SERVER nor REPOSITORY is set in update.conf: nobody is asked for updates")
		<-ctx.Done()
		return nil
	}
	failures := 0
	wait := rand.N(e.config.StartSpread + 1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
			failures = 0
		case <-time.After(wait):
		}
		interval, err := e.Attempt(ctx, false)
		if interval == 0 {
			interval = e.config.Interval
		}
		wait = around(interval)
		if err != nil && !isPolicy(err) {
			wait = min(wait, backoff(failures))
			failures++
			slog.Warn("no update", "error", err, "again_in", wait.Round(time.Second))
			continue
		}
		failures = 0
	}
}

// around spreads machines that began together.
func around(d time.Duration) time.Duration { return d - d/8 + rand.N(d/4+1) }

// backoff is how long to wait after so many failures in a row.
func backoff(failures int) time.Duration {
	return around(time.Minute << min(failures, 12))
}

// Attempt asks the server and installs what it offers. An explicit attempt is a
// person's: it also takes a version that was rolled back here. It returns when the
// server wants to be asked again.
func (e *Engine) Attempt(ctx context.Context, explicit bool) (time.Duration, error) {
	if !e.working.TryLock() {
		return 0, status.ErrBusy
	}
	defer e.working.Unlock()
	if e.server == nil {
		return 0, errors.New("neither SERVER nor REPOSITORY is set in update.conf")
	}
	if err := e.settle(); err != nil {
		return 0, err
	}
	e.report(ctx)
	e.change(func(s *status.Status) { s.Operation = status.Checking })
	answer, err := e.server.Check(ctx, explicit)
	if err != nil {
		return 0, e.end(ctx, nil, err)
	}
	e.change(func(s *status.Status) { s.LastChecked = time.Now() })
	if answer.Offer == nil || answer.Offer.Version == e.config.Version {
		return answer.Interval, e.end(ctx, nil, nil)
	}
	if err := e.judge(answer.Offer.Version, explicit); err != nil {
		return answer.Interval, e.end(ctx, nil, fmt.Errorf("version %s is not installed: %w", answer.Offer.Version, err))
	}
	return answer.Interval, e.install(ctx, answer.Offer)
}

// Apply installs what a person offers, such as a bundle.
func (e *Engine) Apply(ctx context.Context, offer *Offer) error {
	if !e.working.TryLock() {
		return status.ErrBusy
	}
	defer e.working.Unlock()
	if err := e.judge(offer.Version, true); err != nil {
		return e.end(ctx, nil, fmt.Errorf("version %s is not installed: %w", offer.Version, err))
	}
	return e.install(ctx, offer)
}

// judge says whether a version may be installed.
func (e *Engine) judge(version string, explicit bool) error {
	switch {
	case !release.ValidVersion(version):
		return fmt.Errorf("%.80q cannot be the version of a release", version)
	case !strings.HasPrefix(version, e.config.Pin):
		return ErrPinned
	case release.Compare(version, e.config.Version) < 0 && !e.config.AllowDowngrade:
		return ErrDowngrade
	case !explicit && e.state.Failed[version] != "":
		return fmt.Errorf("%w (%s)", ErrRolledBack, e.state.Failed[version])
	}
	return nil
}

// install installs an offer, unless it is installed already.
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
	slog.Info("update begins", "version", offer.Version, "slot", to.Slot)
	e.report(ctx, omaha.EventRequest{Type: omaha.EventDownloadStarted, Result: omaha.EventSuccess, NextVersion: offer.Version})
	// The slot is about to be overwritten: what was installed there before is gone.
	e.state.Pending = nil
	if err := e.state.write(e.dir); err != nil {
		return e.end(ctx, offer, err)
	}
	if err := e.machine.Install(ctx, manifest, files, e.progress()); err != nil {
		return e.end(ctx, offer, err)
	}
	return e.installed(ctx, &Pending{Version: offer.Version, From: e.config.Version, Slot: to.Slot, Notes: manifest.Notes})
}

// progress returns what takes the progress of an installation. D-Bus is told of every
// percent and change of the operation, not of every block.
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

// installed notes an update that is to be booted.
func (e *Engine) installed(ctx context.Context, pending *Pending) error {
	e.state.Pending = pending
	// A version that a person had installed again gets a new chance.
	delete(e.state.Failed, pending.Version)
	e.report(ctx,
		omaha.EventRequest{Type: omaha.EventDownloadFinished, Result: omaha.EventSuccess, NextVersion: pending.Version},
		omaha.EventRequest{Type: omaha.EventUpdateComplete, Result: omaha.EventSuccess, NextVersion: pending.Version})
	slog.Info("update installed, the machine needs a restart", "version", pending.Version, "slot", pending.Slot)
	return e.end(ctx, nil, nil)
}

// PrepareReboot is for whoever is about to restart the machine, who has to hear of it
// whether that is to be by kexec. It waits for an installation that is under way, which a
// restart would interrupt.
func (e *Engine) PrepareReboot() (kexec bool, err error) {
	e.working.Lock()
	defer e.working.Unlock()
	if !e.config.Kexec || e.state.Pending == nil {
		return false, nil
	}
	if err := e.machine.LoadNext(); err != nil {
		slog.Warn("no kexec; the machine restarts by its firmware", "error", err)
		return false, nil
	}
	return true, nil
}

// end ends an attempt: with success, or with an error that the server hears of if it is
// about an offer.
func (e *Engine) end(ctx context.Context, offer *Offer, err error) error {
	if err != nil && offer != nil {
		e.change(func(s *status.Status) { s.Operation = status.Reporting })
		e.report(ctx, omaha.EventRequest{
			Type: omaha.EventUpdateComplete, Result: omaha.EventError, ErrorCode: codeOf(err),
			NextVersion: offer.Version, Reason: err.Error(),
		})
	}
	e.rest(err)
	return err
}

// rest changes the status to that of an engine without work; err is what ended the work.
func (e *Engine) rest(err error) {
	e.change(func(s *status.Status) {
		s.Operation, s.NewVersion, s.NewNotes, s.LastError, s.Refused = status.Idle, "", "", "", maps.Clone(e.state.Failed)
		if e.state.Pending != nil {
			s.Operation, s.NewVersion, s.NewNotes = status.NeedReboot, e.state.Pending.Version, e.state.Pending.Notes
		} else {
			s.Fetched, s.Total, s.Left = 0, 0, 0
		}
		if err != nil {
			s.LastError = err.Error()
		}
	})
}

// report sends events, with those that did not reach the server before. What does not
// reach it now is kept.
func (e *Engine) report(ctx context.Context, events ...omaha.EventRequest) {
	e.state.Events = append(e.state.Events, events...)
	if e.server != nil && len(e.state.Events) > 0 {
		if err := e.server.Report(ctx, e.state.Events); err != nil {
			slog.Warn("events did not reach the update server; they are kept", "events", len(e.state.Events), "error", err)
		} else {
			e.state.Events = nil
		}
	}
	if err := e.state.write(e.dir); err != nil {
		slog.Error("the state of updates could not be written", "error", err)
	}
}

// flush sends what did not reach the server before.
func (e *Engine) flush(ctx context.Context) {
	e.working.Lock()
	defer e.working.Unlock()
	e.report(ctx)
}

// Reset forgets an installed update: the running slot stays the next.
func (e *Engine) Reset(ctx context.Context) error {
	if !e.working.TryLock() {
		return status.ErrBusy
	}
	defer e.working.Unlock()
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

// slots returns the running slot and the other one.
func (e *Engine) slots() (running, other slot.Report, err error) {
	reports, err := e.machine.Slots()
	for _, r := range reports {
		if r.Running {
			running = r
		} else {
			other = r
		}
	}
	if err == nil && running.Slot == "" {
		err = errors.New("which slot runs is not known")
	}
	return running, other, err
}
