package unitmanager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/google/renameio/v2"

	"coreos/internal/fleet/agent"
	"coreos/internal/host/systemd"
)

// The contents of the mark of a unit. It is empty after the call to start the unit, started when
// systemd's job has ended, and stopping after the call to stop the unit.
const (
	started  = "started\n"
	stopping = "stopping\n"
)

// Start implements agent.Systemd.
func (m *Manager) Start(ctx context.Context, name string) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	call, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	if err := m.refuseForeign(call, conn, name); err != nil {
		return err
	}
	if err := renameio.WriteFile(m.mark(name), nil, 0o644); err != nil {
		return err
	}
	m.setUnmet(name, false)
	job, err := systemd.Enqueue(call, conn.StartUnitContext, name)
	if err != nil {
		_ = os.Remove(m.mark(name))
		return refusal(err)
	}
	go m.markStarted(ctx, name, job)
	return nil
}

// markStarted waits for the start of a unit and records it in the mark.
func (m *Manager) markStarted(ctx context.Context, name string, job systemd.Job) {
	if err := job.Wait(ctx); ctx.Err() != nil {
		return
	} else if err != nil {
		slog.Warn("a unit did not start: see its journal", "unit", name, "error", err)
		m.setUnmet(name, errors.Is(err, dependency))
	} else if err := m.remark(name, started); err != nil {
		slog.Warn("the mark that a unit has started cannot be written", "unit", name, "error", err)
	}
	m.tell(ctx, name)
}

// refusal returns the error of a call to start a unit, as Refused if systemd has refused the unit.
func refusal(err error) error {
	if reason, refused := systemd.Refusal(err); refused {
		return agent.Refused{Reason: "systemd refuses it: " + reason + " (journalctl -u may say more)"}
	}
	return err
}

// dependency is the result of a job whose unit was not started, because one that it requires was not.
const dependency = systemd.ResultError("dependency")

// setUnmet notes whether systemd has not started a unit because one that it requires did not start.
func (m *Manager) setUnmet(name string, unmet bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.unmet, name); unmet {
		m.unmet[name] = true
	}
}

// problem returns why systemd has not started a unit in a state, "" if there is no such reason.
func (m *Manager) problem(name, active string) string {
	if active != "inactive" {
		m.setUnmet(name, false)
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unmet[name] {
		return "systemd has not started it, because a unit that it requires did not start"
	}
	return ""
}

// remark changes the contents of the mark of a unit. Without a mark the unit was not started, or
// was stopped meanwhile, and nothing is written.
func (m *Manager) remark(name, text string) error {
	if _, err := os.Lstat(m.mark(name)); err != nil {
		return nil
	}
	return renameio.WriteFile(m.mark(name), []byte(text), 0o644)
}

// Stop implements agent.Systemd.
func (m *Manager) Stop(ctx context.Context, name string) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, stopTime)
	defer stop()
	m.setUnmet(name, false)
	where, err := m.foreign(ctx, conn, name)
	if err != nil {
		return err
	}
	if _, unmarked := os.Lstat(m.mark(name)); where != "" && unmarked != nil {
		return nil // what runs under this name is not fleet's
	}
	// The guard may stop the unit at the same time: the daemon sees by the mark that it did.
	if err := m.remark(name, stopping); err != nil {
		return err
	}
	if err := stopUnit(ctx, conn, name); err != nil {
		return err
	}
	return m.unmark(name)
}

// StopForeign stops a unit that is not the cluster's, such as a daemon of fleet, which Stop leaves
// alone.
func (m *Manager) StopForeign(ctx context.Context, name string) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, stopTime)
	defer stop()
	return stopUnit(ctx, conn, name)
}

// stopUnit stops a unit and waits until it has stopped. It is no error if there is no such unit.
func stopUnit(ctx context.Context, conn *dbus.Conn, name string) error {
	if err := systemd.Run(ctx, conn.StopUnitContext, name); err != nil && !systemd.IsNoSuchUnit(err) {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

func (m *Manager) unmark(name string) error {
	if err := os.Remove(m.mark(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// State implements agent.Systemd.
func (m *Manager) State(ctx context.Context, name string) (agent.State, error) {
	conn, err := m.connection(ctx)
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
	if where, err := m.foreignLoaded(ctx, conn, name, all[0].LoadState); err != nil || where != "" {
		return agent.State{Load: "error", Active: "failed", Sub: "refused", Problem: Taken(name, where)}, err
	}
	state := agent.State{Load: all[0].LoadState, Active: all[0].ActiveState, Sub: all[0].SubState}
	state.Problem = m.problem(name, state.Active)
	state.Pending = state.Active == "inactive" && all[0].JobType == "start"
	mark, err := os.ReadFile(m.mark(name))
	state.Launched = err == nil && string(mark) != stopping
	// systemd may unload a unit that ended well, and then does not know that it ran. The mark does.
	state.Ended = err == nil && string(mark) == started && state.Active == "inactive"
	return state, nil
}
