// Package unitmanager has the machine's systemd run fleet's units, over D-Bus
// (https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html).
//
// Unit files are in a directory below /run and linked from there: they are gone after a
// restart of the machine, as the units are.
package unitmanager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/google/renameio/v2"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/unitfile"
	"coreos/internal/host/systemd"
)

// Systemd implements agent.Systemd.
type Systemd struct {
	units, marks string
	changes      chan string
	reloads      chan chan error

	mu   sync.Mutex
	conn *dbus.Conn
}

var _ agent.Systemd = (*Systemd)(nil)

// Times: how long systemd has for a call, and for a unit to stop.
const (
	callTime = 30 * time.Second
	stopTime = 15 * time.Minute
)

// New returns the systemd of this machine, which it calls until the context ends. The
// two directories have the unit files, and marks of the units that were started.
func New(ctx context.Context, units, marks string) (*Systemd, error) {
	s := &Systemd{
		units: units, marks: marks,
		changes: make(chan string, 1024), reloads: make(chan chan error),
	}
	for _, dir := range []string{s.units, s.marks} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	go s.reload(ctx)
	_, err := s.connection(ctx)
	return s, err
}

// connection returns one to systemd, a new one if the last was lost.
func (s *Systemd) connection(ctx context.Context) (*dbus.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && s.conn.Connected() {
		return s.conn, nil
	}
	conn, err := systemd.Connect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	if err := conn.Subscribe(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("systemd reports no changes: %w", err)
	}
	updates, lost := make(chan *dbus.PropertiesUpdate, 4096), make(chan error, 1)
	conn.SetPropertiesSubscriber(updates, lost)
	go s.watch(ctx, conn, updates, lost)
	s.conn = conn
	return conn, nil
}

// connected is how often a connection that says nothing is looked at.
const connected = 10 * time.Second

// watch passes changes on for as long as a connection lives.
func (s *Systemd) watch(ctx context.Context, conn *dbus.Conn, updates <-chan *dbus.PropertiesUpdate, lost <-chan error) {
	defer conn.Close()
	tick := time.NewTicker(connected)
	defer tick.Stop()
	s.changed(ctx) // what came before was not seen
	for {
		select {
		case <-ctx.Done():
			return
		case update := <-updates:
			if _, is := update.Changed["ActiveState"]; is {
				s.tell(ctx, update.UnitName)
			}
		case <-lost: // more than there was room for
			s.changed(ctx)
		case <-tick.C:
			if !conn.Connected() {
				_, _ = s.connection(ctx) // or the next call says why not
				return
			}
		}
	}
}

// changed says that any unit may have changed.
func (s *Systemd) changed(ctx context.Context) {
	entries, err := os.ReadDir(s.units)
	if err != nil {
		return
	}
	for _, entry := range entries {
		s.tell(ctx, entry.Name())
	}
}

func (s *Systemd) tell(ctx context.Context, name string) {
	select {
	case s.changes <- name:
	case <-ctx.Done():
	}
}

// Changes implements agent.Systemd.
func (s *Systemd) Changes() <-chan string { return s.changes }

// Units implements agent.Systemd.
func (s *Systemd) Units(context.Context) (map[string]agent.Found, error) {
	entries, err := os.ReadDir(s.units)
	if err != nil {
		return nil, err
	}
	all := map[string]agent.Found{}
	for _, entry := range entries {
		if _, err := unitfile.ParseName(entry.Name()); err != nil || !entry.Type().IsRegular() {
			continue // a temporary file
		}
		text, err := os.ReadFile(filepath.Join(s.units, entry.Name()))
		if err != nil {
			return nil, err
		}
		_, err = os.Lstat(s.mark(entry.Name()))
		all[entry.Name()] = agent.Found{Text: string(text), Launched: err == nil}
	}
	return all, nil
}

func (s *Systemd) mark(name string) string { return filepath.Join(s.marks, name) }

// Install implements agent.Systemd. The name is one that fleetunit takes, so that it
// names a file in the directory.
func (s *Systemd) Install(ctx context.Context, name, text string) error {
	path := filepath.Join(s.units, name)
	if err := renameio.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	call, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	if _, err := conn.LinkUnitFilesContext(call, []string{path}, true, true); err != nil {
		return fmt.Errorf("linking %s: %w", path, err)
	}
	return s.wantReload(ctx)
}

// Remove implements agent.Systemd.
func (s *Systemd) Remove(ctx context.Context, name string) error {
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	call, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	if _, err := conn.DisableUnitFilesContext(call, []string{name}, true); err != nil && !systemd.IsNoSuchUnit(err) {
		return fmt.Errorf("unlinking %s: %w", name, err)
	}
	if err := conn.ResetFailedUnitContext(call, name); err != nil && !systemd.IsNoSuchUnit(err) {
		return fmt.Errorf("forgetting that %s failed: %w", name, err)
	}
	if err := os.Remove(filepath.Join(s.units, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.wantReload(ctx)
}

// wantReload has systemd read unit files again, once for all that want it at a time.
func (s *Systemd) wantReload(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.reloads <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-done
}

// collect is how long a reload waits for more units: it takes systemd longer the more
// there are, whatever changed.
const collect = 30 * time.Millisecond

func (s *Systemd) reload(ctx context.Context) {
	for {
		var waiting []chan error
		select {
		case <-ctx.Done():
			return
		case done := <-s.reloads:
			waiting = append(waiting, done)
		}
		timer := time.NewTimer(collect)
		for more := true; more; {
			select {
			case done := <-s.reloads:
				waiting = append(waiting, done)
			case <-timer.C:
				more = false
			}
		}
		err := s.reloadNow(ctx)
		for _, done := range waiting {
			done <- err
		}
	}
}

func (s *Systemd) reloadNow(ctx context.Context) error {
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("systemd does not read its unit files again: %w", err)
	}
	return nil
}

// Environment is what Environment= of a service says.
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
	all := map[string]string{}
	lines, _ := property.Value.Value().([]string)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		all[name] = value
	}
	return all, nil
}
