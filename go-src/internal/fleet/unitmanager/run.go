package unitmanager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/google/renameio/v2"

	"coreos/internal/fleet/agent"
	"coreos/internal/host/systemd"
)

// What is in the mark of a unit: nothing once it was asked to start, started when that has come
// to its end, stopping when it was asked to stop.
const (
	started  = "started\n"
	stopping = "stopping\n"
)

// Start implements agent.Systemd.
func (s *Systemd) Start(ctx context.Context, name string) error {
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(s.mark(name), nil, 0o644); err != nil {
		return err
	}
	call, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	job, err := systemd.Enqueue(call, conn.StartUnitContext, name)
	if err != nil {
		_ = os.Remove(s.mark(name))
		return err
	}
	go s.markStarted(ctx, name, job)
	return nil
}

// markStarted keeps that a unit has started, once it has.
func (s *Systemd) markStarted(ctx context.Context, name string, job systemd.Job) {
	if err := job.Wait(ctx); ctx.Err() != nil {
		return
	} else if err != nil {
		slog.Warn("a unit did not start: see its journal", "unit", name, "error", err)
	} else if err := s.remark(name, started); err != nil {
		slog.Warn("the mark that a unit has started cannot be written", "unit", name, "error", err)
	}
	s.tell(ctx, name)
}

// remark changes what is in the mark of a unit, if it has one: it was started, and not stopped
// meanwhile.
func (s *Systemd) remark(name, text string) error {
	if _, err := os.Lstat(s.mark(name)); err != nil {
		return nil
	}
	return renameio.WriteFile(s.mark(name), []byte(text), 0o644)
}

// Stop implements agent.Systemd.
func (s *Systemd) Stop(ctx context.Context, name string) error {
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, stopTime)
	defer stop()
	// The daemon and its guard stop units, and do not ask each other.
	if err := s.remark(name, stopping); err != nil {
		return err
	}
	if err := systemd.Run(ctx, conn.StopUnitContext, name); systemd.IsNoSuchUnit(err) {
		return s.unmark(name)
	} else if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return s.unmark(name)
}

func (s *Systemd) unmark(name string) error {
	if err := os.Remove(s.mark(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// State implements agent.Systemd.
func (s *Systemd) State(ctx context.Context, name string) (agent.State, error) {
	conn, err := s.connection(ctx)
	if err != nil {
		return agent.State{}, err
	}
	ctx, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	all, err := conn.ListUnitsByNamesContext(ctx, []string{name})
	if err != nil {
		return agent.State{}, err
	}
	if len(all) != 1 {
		return agent.State{}, fmt.Errorf("systemd knows %d units %s", len(all), name)
	}
	state := agent.State{Load: all[0].LoadState, Active: all[0].ActiveState, Sub: all[0].SubState}
	state.Pending = state.Active == "inactive" && all[0].JobType == "start"
	mark, err := os.ReadFile(s.mark(name))
	state.Launched = err == nil && string(mark) != stopping
	// systemd forgets a unit that ended well, and with it that it ever ran.
	state.Ended = err == nil && string(mark) == started && state.Active == "inactive"
	return state, nil
}
