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
	result := make(chan string, 1)
	if _, err := conn.StartUnitContext(call, name, "replace", result); err != nil {
		_ = os.Remove(s.mark(name))
		return err
	}
	go func() {
		select {
		case how := <-result:
			if how == "done" {
				if err := s.remark(name, started); err != nil {
					slog.Warn("that a unit has started could not be kept", "unit", name, "error", err)
				}
			} else {
				slog.Warn("a unit did not start: see its journal", "unit", name, "result", how)
			}
			s.tell(ctx, name)
		case <-ctx.Done():
		}
	}()
	return nil
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
	result := make(chan string, 1)
	if _, err := conn.StopUnitContext(ctx, name, "replace", result); err != nil {
		if isNo(err, "NoSuchUnit") {
			return s.unmark(name)
		}
		return err
	}
	select {
	case how := <-result:
		if how != "done" {
			return fmt.Errorf("systemd's job to stop it ended as %q", how)
		}
	case <-ctx.Done():
		return fmt.Errorf("it does not stop: %w", ctx.Err())
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
