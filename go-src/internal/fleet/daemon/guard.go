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

// leaseFile has the machine's lease, for the next run of the daemon and for the guard.
var leaseFile = filepath.Join(stateDirectory, "lease")

// marks is the directory with a mark for each unit that was started.
var marks = filepath.Join(stateDirectory, "launched")

// Guard stops the units of this machine that other machines may run, if the daemon does not do
// it, until the context ends. It reads the settings again before it stops units. If they cannot
// be read, cut_off=keep does not count.
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
	go func() { // the guard does not need the changes, and nothing must block on them
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

// watch sends when a file was written or replaced. Several changes may come as one.
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
