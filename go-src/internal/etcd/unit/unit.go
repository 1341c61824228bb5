// Package unit starts and stops etcd-member.service by systemd's D-Bus interface, and
// lets others speak for it in systemctl status.
package unit

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"coreos/internal/host/systemd"
)

// Name is the unit.
const Name = "etcd-member.service"

// Unit is the unit of this machine.
type Unit struct{ conn *dbus.Conn }

// Open connects to systemd by the system bus.
func Open(ctx context.Context) (*Unit, error) {
	conn, err := systemd.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Unit{conn}, nil
}

// Close ends the connection.
func (u *Unit) Close() { u.conn.Close() }

// Active says whether the unit runs, or is about to: an etcd that fails is started again
// and again.
func (u *Unit) Active(ctx context.Context) (bool, error) {
	state, err := u.state(ctx)
	return err == nil && state != "inactive" && state != "failed", err
}

// Failing says whether the unit is being started, but does not serve: as long as etcd is
// no member of a cluster with a quorum.
func (u *Unit) Failing(ctx context.Context) (bool, error) {
	state, err := u.state(ctx)
	return state == "activating", err
}

// Wanted says whether the unit is enabled, or was started, be it in vain.
func (u *Unit) Wanted(ctx context.Context) (bool, error) {
	file, err := u.property(ctx, "UnitFileState")
	if err != nil || file == "enabled" || file == "enabled-runtime" {
		return err == nil, err
	}
	state, err := u.state(ctx)
	return err == nil && state != "inactive", err
}

func (u *Unit) state(ctx context.Context) (string, error) { return u.property(ctx, "ActiveState") }

func (u *Unit) property(ctx context.Context, name string) (string, error) {
	property, err := u.conn.GetUnitPropertyContext(ctx, Name, name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", Name, err)
	}
	value, _ := property.Value.Value().(string)
	return value, nil
}

// Start starts the unit, and does not wait until etcd answers: a member may need long
// for what it missed. Nor is it an error that the unit runs.
func (u *Unit) Start(ctx context.Context) error {
	_ = u.conn.ResetFailedUnitContext(ctx, Name) // it may have been started too often
	if _, err := systemd.Enqueue(ctx, u.conn.StartUnitContext, Name); err != nil {
		return fmt.Errorf("start %s: %w", Name, err)
	}
	return nil
}

// Stop stops the unit and waits for its end.
func (u *Unit) Stop(ctx context.Context) error {
	if err := systemd.Run(ctx, u.conn.StopUnitContext, Name); err != nil {
		return fmt.Errorf("stop %s: %w; see journalctl -u %s", Name, err, Name)
	}
	return nil
}

// ErrNotRunning says that the unit has no main process.
var ErrNotRunning = errors.New(Name + " does not run")

// MainPID returns the main process, or ErrNotRunning.
func (u *Unit) MainPID(ctx context.Context) (int, error) {
	property, err := u.conn.GetServicePropertyContext(ctx, Name, "MainPID")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", Name, err)
	}
	pid, _ := property.Value.Value().(uint32)
	if pid == 0 {
		return 0, ErrNotRunning
	}
	return int(pid), nil
}

// NotifySocket is where systemd takes sd_notify(3) messages.
const NotifySocket = "/run/systemd/notify"

// SetStatus sets the line "Status:" of systemctl status, in the name of a process: that
// is sd_pid_notify(3), which needs CAP_SYS_ADMIN. The line stays until it is set anew or
// the process ends. A unit with NotifyAccess=main believes its main process alone.
func SetStatus(socket string, pid int, status string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("status for systemd: %w", err)
	}
	defer conn.Close()
	sender := unix.UnixCredentials(&unix.Ucred{Pid: int32(pid), Uid: uint32(unix.Getuid()), Gid: uint32(unix.Getgid())})
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), []byte("STATUS="+oneLine(status)), sender, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(sent, unix.EAGAIN)
	})
	if err := errors.Join(err, sent); err != nil {
		return fmt.Errorf("status for systemd, in the name of process %d: %w", pid, err)
	}
	return nil
}

// oneLine keeps a text from being several of systemd's variables.
func oneLine(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return string(b)
}
