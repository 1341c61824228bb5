package unitmanager

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"

	"coreos/internal/fleet/agent"
	"coreos/internal/host/systemd"
)

// Foreign returns where the machine has a unit of that name from, "" if it has none but fleet's.
// systemd would run that one in place of fleet's, or fleet's in place of the image's.
func (m *Manager) Foreign(ctx context.Context, name string) (where string, err error) {
	conn, err := m.connection(ctx)
	if err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	if strings.Contains(name, "@.") {
		return foreignTemplate(ctx, conn, name)
	}
	return m.foreign(ctx, conn, name)
}

// foreign is Foreign for a unit that is no template. The question makes systemd load the unit.
func (m *Manager) foreign(ctx context.Context, conn *dbus.Conn, name string) (string, error) {
	load, err := systemd.Text(ctx, conn, name, "LoadState")
	if err != nil {
		return "", err
	}
	return m.foreignLoaded(ctx, conn, name, load)
}

// foreignLoaded is foreign for a unit whose LoadState is known.
func (m *Manager) foreignLoaded(ctx context.Context, conn *dbus.Conn, name, load string) (string, error) {
	if load == "not-found" {
		return "", nil
	}
	path, err := systemd.Text(ctx, conn, name, "FragmentPath")
	if err != nil {
		return "", err
	}
	return m.origin(name, load, path), nil
}

// origin returns where a unit is from by its properties LoadState and FragmentPath, "" if it is
// fleet's or there is none.
func (m *Manager) origin(name, load, path string) string {
	switch {
	case load == "not-found":
		return ""
	case path == "" && strings.HasSuffix(name, ".device"):
		return "" // every device has such a unit
	case path == "":
		return "systemd itself"
	case resolved(path) == resolved(filepath.Join(m.units, name)):
		return ""
	}
	return path
}

// resolved returns a path without symbolic links, as far as it exists.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return filepath.Clean(path)
}

// foreignTemplate is Foreign for a template, of which systemd knows only the file. fleet installs none.
func foreignTemplate(ctx context.Context, conn *dbus.Conn, name string) (string, error) {
	files, err := conn.ListUnitFilesByPatternsContext(ctx, nil, []string{name})
	if err != nil {
		return "", fmt.Errorf("asking systemd for %s: %w", name, err)
	}
	for _, file := range files {
		if filepath.Base(file.Path) == name {
			return file.Path, nil
		}
	}
	return "", nil
}

// refuseForeign returns Refused if the machine has a unit of that name from elsewhere.
func (m *Manager) refuseForeign(ctx context.Context, conn *dbus.Conn, name string) error {
	where, err := m.foreign(ctx, conn, name)
	if err == nil && where != "" {
		err = agent.Refused{Reason: Taken(name, where)}
	}
	return err
}

// Taken is the reason why fleet does not run a unit whose name the machine has already.
func Taken(name, where string) string {
	return fmt.Sprintf("the machine has a unit %s of its own, from %s: give yours another name, or remove that one", name, where)
}
