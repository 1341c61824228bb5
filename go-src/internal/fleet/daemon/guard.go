package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"coreos/internal/fleet/guard"
	"coreos/internal/fleet/unitmanager"
)

// leaseFile keeps the machine's lease for the next run of the daemon.
var leaseFile = filepath.Join(stateDirectory, "lease")

// marks are of the units that were started.
var marks = filepath.Join(stateDirectory, "launched")

// Guard stops the units of this machine that others may run, if the daemon is not there to do
// it, until the context ends. The settings are read again when it comes to that; such that
// cannot be read keep nothing.
func Guard(ctx context.Context, read func() (Settings, error)) error {
	s, err := read()
	if err != nil {
		return err
	}
	systemd, err := unitmanager.New(ctx, s.Directory, marks)
	if err != nil {
		return err
	}
	changed, err := watch(ctx, leaseFile)
	if err != nil {
		return fmt.Errorf("watching %s: %w", leaseFile, err)
	}
	go func() { // which nobody else listens to
		for range systemd.Changes() {
		}
	}()
	g := &guard.Guard{LeaseFile: leaseFile, Changed: changed, Systemd: systemd, Keep: func() bool {
		now, err := read()
		if err != nil {
			slog.Error("the settings cannot be read", "error", err)
		}
		return err == nil && now.KeepUnits
	}}
	g.Run(ctx)
	return nil
}

// watch tells when a file was written or replaced. Several changes may be told of as one.
func watch(ctx context.Context, file string) (<-chan struct{}, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := watcher.Add(filepath.Dir(file)); err != nil {
		_ = watcher.Close()
		return nil, err
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer watcher.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-watcher.Events:
				if event.Name != file {
					continue
				}
			case err := <-watcher.Errors: // events were lost
				slog.Debug("watching a file", "file", file, "error", err)
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
