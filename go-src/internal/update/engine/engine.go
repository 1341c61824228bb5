// Package engine updates the machine: it checks for a newer version, installs it in the
// other slot, and finds out after the restart whether the new version became healthy.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"coreos/internal/boot/slot"
	"coreos/internal/cli/redact"
	"coreos/internal/host/room"
	"coreos/internal/update/config"
	"coreos/internal/update/omaha"
	"coreos/internal/update/release"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

// Offer is a version that is offered to this machine.
type Offer struct {
	Version string
	// Open opens and verifies the repository, and returns the manifest and the files of the
	// version.
	Open func(context.Context) (*release.Manifest, slotwriter.Files, error)
}

// Answer is a server's answer to an update check.
type Answer struct {
	Offer *Offer // nil: no update
	// Interval is the time until the next check, 0 if the server does not set it.
	Interval time.Duration
}

// Server decides which version the machine should run, and takes reports of the result.
type Server interface {
	Check(ctx context.Context, explicit bool) (Answer, error)
	Report(ctx context.Context, events []omaha.EventRequest) error
}

// Machine is the machine that the engine updates.
type Machine interface {
	// Slots describes both slots.
	Slots() ([]slot.Report, error)
	// Install writes a release to the slot that does not run, and makes that the next to
	// boot.
	Install(context.Context, *release.Manifest, slotwriter.Files, func(slotwriter.Progress)) error
	// Keep makes the running slot the next to boot.
	Keep() error
	// LoadNext loads the next slot's kernel for a restart by kexec.
	LoadNext() error
}

// Engine updates the machine. Its methods may be called concurrently.
type Engine struct {
	config  *config.Config
	server  Server // nil: there are no update checks
	machine Machine
	dir     string
	boot    string // id of this boot
	notify  func(status.Status)

	// working has a value during a check, an installation and a report.
	working chan struct{}
	state   *State

	mu     sync.Mutex
	status status.Status

	wake chan struct{}
}

// New returns an engine that keeps its state in dir, in the boot with an id. It calls notify at
// every change of the status.
func New(c *config.Config, server Server, machine Machine, dir, boot string, notify func(status.Status)) *Engine {
	state, err := readState(dir)
	if err != nil {
		slog.Warn("the state of earlier updates cannot be read and is lost", "error", err)
	}
	return &Engine{
		config: c, server: server, machine: machine, dir: dir, boot: boot, notify: notify, state: state,
		status: status.Status{Operation: status.Idle, Version: c.Version, Refused: maps.Clone(state.Failed)}, working: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// Status returns the status.
func (e *Engine) Status() status.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// change changes the status and notifies about it.
func (e *Engine) change(f func(*status.Status)) {
	e.mu.Lock()
	f(&e.status)
	status := e.status
	e.mu.Unlock()
	e.notify(status)
}

// begin begins a piece of work, after the one that goes on. It does not wait for an installation,
// which takes minutes: that is status.ErrBusy.
func (e *Engine) begin(ctx context.Context) error {
	select {
	case e.working <- struct{}{}:
		return nil
	default:
	}
	switch e.Status().Operation {
	case status.Available, status.Downloading, status.Verifying, status.Finalizing:
		return status.ErrBusy
	}
	select {
	case e.working <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish ends a piece of work.
func (e *Engine) finish() { <-e.working }

// Run checks for updates until the context ends.
func (e *Engine) Run(ctx context.Context) error {
	e.flush(ctx)
	if e.server == nil {
		slog.Info("neither SERVER nor REPOSITORY is set in update.conf: this machine does not check for updates")
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
			slog.Warn("the machine was not updated", "error", err, "again_in", wait.Round(time.Second))
			continue
		}
		failures = 0
	}
}

// around returns a random duration near d, so that machines that started together do not
// check together.
func around(d time.Duration) time.Duration { return d - d/8 + rand.N(d/4+1) }

// backoff returns the time to wait after a number of failures in a row.
func backoff(failures int) time.Duration {
	return around(time.Minute << min(failures, 12))
}

// Attempt checks for an update and installs it. If explicit, a person asked for it, and a
// version that was rolled back here is installed again. Attempt returns the interval that
// the server asks for.
func (e *Engine) Attempt(ctx context.Context, explicit bool) (time.Duration, error) {
	if err := e.begin(ctx); err != nil {
		return 0, err
	}
	defer e.finish()
	if e.server == nil {
		return 0, errors.New("neither SERVER nor REPOSITORY is set in update.conf")
	}
	err := e.needRoom()
	if err == nil {
		err = e.settle()
	}
	if err != nil {
		// The operation stays: whether a restart is due is not known.
		e.change(func(s *status.Status) { s.LastError = err.Error() })
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

// leastRoom is the room in bytes without which an attempt is refused. An update goes to the
// other slot; verified metadata and the state of the engine go to ROOT, and the result of an
// update that was not recorded would not be known after the restart.
const leastRoom = 8 << 20

func (e *Engine) needRoom() error {
	if err := room.Need(e.dir, leastRoom); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// end ends an attempt. An error about an offer is reported to the server.
func (e *Engine) end(ctx context.Context, offer *Offer, err error) error {
	err = redact.Error(err)
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

// rest sets the status of an engine that does nothing; err is the error that ended its
// work.
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

// report sends events, after those that could not be sent before. Events that cannot be
// sent are kept.
func (e *Engine) report(ctx context.Context, events ...omaha.EventRequest) {
	e.state.Events = append(e.state.Events, events...)
	if e.server != nil && len(e.state.Events) > 0 {
		if err := e.server.Report(ctx, e.state.Events); err != nil {
			slog.Warn("events could not be sent to the update server and are kept", "events", len(e.state.Events), "error", err)
		} else {
			e.state.Events = nil
		}
	}
	if err := e.state.write(e.dir); err != nil {
		slog.Error("the state of the update cannot be written", "error", err)
	}
}

// flush sends the events that could not be sent before.
func (e *Engine) flush(ctx context.Context) {
	e.working <- struct{}{}
	defer e.finish()
	e.report(ctx)
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
