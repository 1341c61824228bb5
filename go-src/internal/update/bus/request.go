package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/godbus/dbus/v5"

	"coreos/internal/update/status"
)

// request is the file that says until the next boot that root has asked for a restart. Only
// root can make files in its directory.
const request = "/run/coreos/need-reboot"

// rebootRequested says whether root has asked for a restart since the boot.
func (c *Client) rebootRequested() (bool, error) {
	_, err := os.Lstat(c.request)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// RebootNeeded reports whether an update waits for a restart, or root has asked for one.
func (c *Client) RebootNeeded(ctx context.Context) (bool, error) {
	if requested, err := c.rebootRequested(); requested || err != nil {
		return requested, err
	}
	s, err := c.Status(ctx)
	return s.Operation == status.NeedReboot, err
}

// RequestReboot asks for a restart, as if an update waited. The request is kept in a file
// until the machine restarts, so that it also counts for a locksmithd that does not run yet.
// The signal by which update-engine announces an update wakes a locksmithd that runs. Every
// process can send that signal, so the signal alone asks for nothing.
func (c *Client) RequestReboot(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(c.request), 0o755); err != nil {
		return fmt.Errorf("request a restart: %w", err)
	}
	if err := os.WriteFile(c.request, nil, 0o644); err != nil {
		return fmt.Errorf("request a restart: %w", err)
	}
	if err := c.bus.Emit(Path, Interface+".StatusUpdate", int64(0), float64(0), string(status.NeedReboot), "", int64(0)); err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	// The bus has taken the signal when it answers a later message. The system's bus refuses Peer.Ping.
	if err := c.bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetId", dbus.Flags(0)).Err; err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	return nil
}
