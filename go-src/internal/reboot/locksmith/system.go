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

// System is the machine that we run on.
type System struct {
	*logind.Logind
	etcd    *unit.Unit
	hooks   hooks.Hooks
	hasEtcd bool
}

// NewSystem connects to the machine's systemd. hasEtcd says that the machine was told of
// an etcd, of its own or not.
func NewSystem(ctx context.Context, bus *dbus.Conn, hookTimeout time.Duration, hasEtcd bool) (*System, error) {
	etcd, err := unit.Open(ctx)
	if err != nil {
		return nil, err
	}
	// Hooks are the operator's, who does not know of this daemon's sandbox.
	launch := []string{"systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--property=RuntimeMaxSec=" + hookTimeout.String(), "--"}
	return &System{logind.New(bus), etcd, hooks.Hooks{Dirs: hooks.Dirs, Limit: hookTimeout, Launch: launch}, hasEtcd}, nil
}

// RunsEtcd is for Host: whether etcd-member.service runs, or would if it could.
func (s *System) RunsEtcd(ctx context.Context) (bool, error) {
	if s.hasEtcd {
		return true, nil
	}
	return s.etcd.Wanted(ctx)
}

// Drain is for Host.
func (s *System) Drain(ctx context.Context) error { return s.hooks.Run(ctx, "reboot") }

// Resume is for Host.
func (s *System) Resume(ctx context.Context) {
	if err := s.hooks.Run(ctx, "cancel"); err != nil {
		slog.Warn("not resumed", "error", err)
	}
}
