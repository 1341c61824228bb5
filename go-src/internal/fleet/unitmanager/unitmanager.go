// Package unitmanager runs fleet's units in the machine's systemd, over D-Bus
// (https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html).
//
// Unit files are in a directory below /run, and linked into systemd's. Files and units are gone
// after a restart of the machine.
package unitmanager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/google/renameio/v2"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/unitfile"
	"coreos/internal/host/systemd"
)

// Manager is the systemd of this machine. It implements agent.Systemd.
type Manager struct {
	units, marks string
	changes      chan string
	reloads      chan chan error

	mu   sync.Mutex
	conn *dbus.Conn
	// unmet has the units that systemd has not started because one that they require did not start.
	unmet map[string]bool
}

var _ agent.Systemd = (*Manager)(nil)

// callTime bounds a call of systemd, stopTime the stop of a unit.
const (
	callTime = 30 * time.Second
	stopTime = 15 * time.Minute
)

// New connects to systemd, until the context ends. units is the directory for the unit files,
// marks that for the marks of started units.
func New(ctx context.Context, units, marks string) (*Manager, error) {
	m := &Manager{
		units: units, marks: marks,
		changes: make(chan string, 1024), reloads: make(chan chan error), unmet: map[string]bool{},
	}
	for _, dir := range []string{m.units, m.marks} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	go m.reload(ctx)
	_, err := m.connection(ctx)
	return m, err
}

// Changes implements agent.Systemd.
func (m *Manager) Changes() <-chan string { return m.changes }

// Units implements agent.Systemd.
func (m *Manager) Units(context.Context) (map[string]agent.Found, error) {
	entries, err := os.ReadDir(m.units)
	if err != nil {
		return nil, err
	}
	all := map[string]agent.Found{}
	for _, entry := range entries {
		if _, err := unitfile.ParseName(entry.Name()); err != nil || !entry.Type().IsRegular() {
			continue // a temporary file of renameio
		}
		text, err := os.ReadFile(filepath.Join(m.units, entry.Name()))
		if err != nil {
			return nil, err
		}
		_, err = os.Lstat(m.mark(entry.Name()))
		all[entry.Name()] = agent.Found{Text: string(text), Launched: err == nil}
	}
	return all, nil
}

func (m *Manager) mark(name string) string { return filepath.Join(m.marks, name) }

// Install implements agent.Systemd. unitfile.ParseName must accept the name, so that it is the name
// of a file in the directory.
func (m *Manager) Install(ctx context.Context, name, text string) error {
	path := filepath.Join(m.units, name)
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	call, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	if err := m.refuseForeign(call, conn, name); err != nil {
		_ = os.Remove(path) // of an earlier run
		return err
	}
	if err := renameio.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	if _, err := conn.LinkUnitFilesContext(call, []string{path}, true, true); err != nil {
		return fmt.Errorf("linking %s: %w", path, err)
	}
	return m.wantReload(ctx)
}

// Remove implements agent.Systemd.
func (m *Manager) Remove(ctx context.Context, name string) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	call, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	where, err := m.foreign(call, conn, name)
	switch {
	case err != nil:
		return err
	case where != "":
		return m.forget(ctx, name)
	}
	if _, err := conn.DisableUnitFilesContext(call, []string{name}, true); err != nil && !systemd.IsNoSuchUnit(err) {
		return fmt.Errorf("unlinking %s: %w", name, err)
	}
	if err := conn.ResetFailedUnitContext(call, name); err != nil && !systemd.IsNoSuchUnit(err) {
		return fmt.Errorf("resetting the failure of %s: %w", name, err)
	}
	return m.forget(ctx, name)
}

// forget removes the file of a unit.
func (m *Manager) forget(ctx context.Context, name string) error {
	if err := os.Remove(filepath.Join(m.units, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.wantReload(ctx)
}

// Environment returns the variables that Environment= of a service sets.
func Environment(ctx context.Context, service string) (map[string]string, error) {
	ctx, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	conn, err := systemd.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	property, err := conn.GetServicePropertyContext(ctx, service, "Environment")
	if err != nil {
		return nil, fmt.Errorf("the environment of %s: %w", service, err)
	}
	lines, _ := property.Value.Value().([]string)
	return systemd.Variables(lines), nil
}
