package locksmith

import (
	"context"
	"log/slog"
	"time"

	"github.com/godbus/dbus/v5"

	"coreos/internal/etcd/unit"
	"coreos/internal/host/logind"
	"coreos/internal/reboot/hooks"
)

// System implements Host for this machine.
type System struct {
	*logind.Logind
	etcd    *unit.Unit
	hooks   hooks.Hooks
	hasEtcd bool
}

// NewSystem connects to systemd. hasEtcd says that the configuration names an etcd, on this
// machine or another.
func NewSystem(ctx context.Context, bus *dbus.Conn, hookTimeout time.Duration, hasEtcd bool) (*System, error) {
	etcd, err := unit.Open(ctx)
	if err != nil {
		return nil, err
	}
	// Hooks run outside of this daemon's sandbox, which the operator who writes them does
	// not know.
	launch := []string{"systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--property=RuntimeMaxSec=" + hookTimeout.String(), "--"}
	return &System{logind.New(bus), etcd, hooks.Hooks{Dirs: hooks.Dirs, Limit: hookTimeout, Launch: launch}, hasEtcd}, nil
}

// RunsEtcd implements Host: it reports whether etcd-member.service runs, or would run if it
// could.
func (s *System) RunsEtcd(ctx context.Context) (bool, error) {
	if s.hasEtcd {
		return true, nil
	}
	return s.etcd.Wanted(ctx)
}

// Drain implements Host.
func (s *System) Drain(ctx context.Context) error { return s.hooks.Run(ctx, "reboot") }

// Resume implements Host.
func (s *System) Resume(ctx context.Context) {
	if err := s.hooks.Run(ctx, "cancel"); err != nil {
		slog.Warn("the hooks that resume the machine failed", "error", err)
	}
}
