package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/update/config"
	"coreos/internal/update/download"
	"coreos/internal/update/omaha"
	"coreos/internal/update/repository"
	"coreos/internal/update/status"
)

// Daemon is an engine with its configuration and its server.
type Daemon struct {
	*Engine
	trust Trust
}

// RootFile is the file of a system that has the root metadata of the trusted repository.
const RootFile = "/usr/share/coreos/update-root.json"

// clockFile is the file that systemd-timesyncd touches while the clock is synchronised.
const clockFile = "/var/lib/systemd/timesync/clock"

// NewDaemon returns the daemon of the machine whose root file system is at root. find returns the
// path under which a file of the machine can be read.
func NewDaemon(root, stateDir string, find func(string) string, machine Machine, notify func(status.Status)) (*Daemon, error) {
	c, misconfigured := config.Read(root, find(filepath.Join(root, config.Own)))
	if c == nil {
		return nil, misconfigured
	}
	client, err := download.New(download.Options{Proxy: c.Proxy, Limit: c.Bandwidth})
	if err != nil {
		return nil, err
	}
	trust := Trust{RootFile: filepath.Join(root, RootFile), StateDir: filepath.Join(stateDir, "repository"), ClockFile: filepath.Join(root, clockFile)}
	source := Source{client, trust, c.Board}
	id := MachineID(root, c)
	var server Server
	switch {
	case misconfigured != nil:
		server = wrong{misconfigured}
	case c.Server != "":
		server = Omaha{Source: source, Config: c, Machine: id, OS: osOf(c)}
	case c.Repository != "":
		server = Channel{source, c.Repository, c.Group}
	}
	return &Daemon{New(c, server, machine, stateDir, id.BootID, notify), trust}, nil
}

func osOf(c *config.Config) omaha.OS {
	var name unix.Utsname
	arch := runtime.GOARCH
	if err := unix.Uname(&name); err == nil {
		arch = unix.ByteSliceToString(name.Machine[:])
	}
	return omaha.OS{Platform: "CoreOS", Version: "CoreOS", SP: c.Version + "_" + arch, Arch: arch}
}

// Run checks for updates until the context ends. Then it keeps the time, for machines whose clock
// forgets it.
func (d *Daemon) Run(ctx context.Context) error {
	err := d.Engine.Run(ctx)
	if problem := repository.Observe(d.trust.StateDir, time.Now()); problem != nil {
		slog.Warn("the time is not kept", "error", problem)
	}
	return err
}

// Metrics returns the address on which metrics are served, empty for none.
func (d *Daemon) Metrics() string { return d.config.Metrics }

// Wake makes the daemon check for an update soon.
func (d *Daemon) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Update checks for an update and installs it, because a person asked for it.
func (d *Daemon) Update(ctx context.Context) error {
	_, err := d.Attempt(ctx, true)
	return err
}

// ApplyBundle installs the update bundle at a path.
func (d *Daemon) ApplyBundle(ctx context.Context, path string) error {
	if !filepath.IsAbs(path) || strings.Contains(path, "\x00") {
		return fmt.Errorf("bundle %q: want an absolute path", path)
	}
	if err := d.needRoom(); err != nil {
		return err
	}
	// Opening a pipe would wait for its other end.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w to update-engine's user: update_engine_client -apply hands over the open file", err)
		}
		return fmt.Errorf("bundle: %w", err)
	}
	defer func() { _ = file.Close() }()
	return d.ApplyOpenBundle(ctx, file, path)
}

// ApplyOpenBundle installs the update bundle in an open file, whose path is for errors.
func (d *Daemon) ApplyOpenBundle(ctx context.Context, file *os.File, path string) error {
	if err := d.needRoom(); err != nil {
		return err
	}
	offer, err := bundleOffer(ctx, file, d.trust, d.config.Board)
	if err != nil {
		return fmt.Errorf("%.400s: %w", path, err)
	}
	return d.Apply(ctx, offer)
}

// wrong stands for the server if the configuration is wrong. The daemon runs, so that its
// status shows the error and bundles can be applied.
type wrong struct{ err error }

func (w wrong) Check(context.Context, bool) (Answer, error)        { return Answer{}, w.err }
func (w wrong) Report(context.Context, []omaha.EventRequest) error { return w.err }
