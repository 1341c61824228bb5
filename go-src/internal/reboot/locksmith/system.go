package locksmith

import (
	"context"
	"log/slog"
	"time"

	"github.com/godbus/dbus/v5"

	"coreos/internal/etcd/unit"
	"coreos/internal/host/logind"
	"coreos/internal/host/privsep"
)

// System implements Host for this machine.
type System struct {
	*logind.Logind
	etcd    *unit.Unit
	root    privsep.Socket // has Privileged behind it
	limit   time.Duration  // of a hook
	hasEtcd bool
}

// NewSystem connects to systemd. hasEtcd says that the configuration names an etcd, on this
// machine or another.
func NewSystem(ctx context.Context, bus *dbus.Conn, hookTimeout time.Duration, hasEtcd bool) (*System, error) {
	etcd, err := unit.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &System{logind.New(bus), etcd, PrivilegedSocket, hookTimeout, hasEtcd}, nil
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
func (s *System) Drain(ctx context.Context) error {
	return s.root.Call(ctx, actionDrain, hookArgument{s.limit}, nil)
}

// Resume implements Host.
func (s *System) Resume(ctx context.Context) {
	if err := s.root.Call(ctx, actionResume, hookArgument{s.limit}, nil); err != nil {
		slog.Warn("the hooks that resume the machine failed", "error", err)
	}
}

// Reboot implements Host.
func (s *System) Reboot(ctx context.Context) error { return s.root.Call(ctx, actionReboot, nil, nil) }
