// Package unit starts and stops etcd-member.service over D-Bus, and sets its status line in
// systemctl status.
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

// Name is the name of the unit.
const Name = "etcd-member.service"

// Unit is etcd-member.service on this machine.
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

// Active reports whether the unit runs or is being started, which systemd repeats if etcd
// fails.
func (u *Unit) Active(ctx context.Context) (bool, error) {
	state, err := u.state(ctx)
	return err == nil && state != "inactive" && state != "failed", err
}

// Failing reports whether the unit is being started but does not serve, because etcd is no
// member of a cluster with a quorum.
func (u *Unit) Failing(ctx context.Context) (bool, error) {
	state, err := u.state(ctx)
	return state == "activating", err
}

// Wanted reports whether the unit is enabled or was started, even if it failed.
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
	return systemd.Text(ctx, u.conn, Name, name)
}

// Start starts the unit. It does not wait until etcd answers, since a member may need long
// to catch up. It succeeds if the unit runs already.
func (u *Unit) Start(ctx context.Context) error {
	_ = u.conn.ResetFailedUnitContext(ctx, Name) // or systemd refuses a unit that failed too often
	if _, err := systemd.Enqueue(ctx, u.conn.StartUnitContext, Name); err != nil {
		return fmt.Errorf("start %s: %w", Name, err)
	}
	return nil
}

// Stop stops the unit and waits until it has stopped.
func (u *Unit) Stop(ctx context.Context) error {
	if err := systemd.Run(ctx, u.conn.StopUnitContext, Name); err != nil {
		return fmt.Errorf("stop %s: %w; see journalctl -u %s", Name, err, Name)
	}
	return nil
}

// Service is how systemd starts etcd, by the unit and its drop-ins.
type Service struct {
	Program string
	Args    []string // without the program
	// Environment has lines NAME=VALUE.
	Environment []string
	// Files are the paths of EnvironmentFile=, which may be patterns.
	Files []string
	// Unset are the names of UnsetEnvironment=, Pass those of PassEnvironment=.
	Unset, Pass []string
}

// Service returns how systemd starts etcd.
func (u *Unit) Service(ctx context.Context) (Service, error) {
	load, err := u.property(ctx, "LoadState")
	if err == nil && load != "loaded" {
		err = fmt.Errorf("%s: systemd reports %q", Name, load)
	}
	if err != nil {
		return Service{}, err
	}
	properties, err := u.conn.GetUnitTypePropertiesContext(ctx, Name, "Service")
	if err != nil {
		return Service{}, fmt.Errorf("%s: %w", Name, err)
	}
	return serviceOf(properties)
}

// serviceOf reads the properties of the interface org.freedesktop.systemd1.Service.
func serviceOf(properties map[string]any) (Service, error) {
	texts := func(name string) []string { all, _ := properties[name].([]string); return all }
	s := Service{Environment: texts("Environment"), Unset: texts("UnsetEnvironment"), Pass: texts("PassEnvironment")}
	files, _ := properties["EnvironmentFiles"].([][]any)
	for _, file := range files {
		if path, ok := file[0].(string); ok {
			s.Files = append(s.Files, path)
		}
	}
	commands, _ := properties["ExecStart"].([][]any)
	if len(commands) == 0 || len(commands[0]) < 2 {
		return s, fmt.Errorf("%s has no ExecStart=", Name)
	}
	command := commands[0]
	s.Program, _ = command[0].(string)
	if args, _ := command[1].([]string); len(args) > 0 {
		s.Args = args[1:]
	}
	return s, nil
}

// ErrNotRunning says that the unit has no main process.
var ErrNotRunning = errors.New(Name + " does not run")

// MainPID returns the process id of the main process, or ErrNotRunning.
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

// NotifySocket is the socket on which systemd receives sd_notify(3) messages.
const NotifySocket = "/run/systemd/notify"

// SetStatus sets the line "Status:" in systemctl status on behalf of a process, as
// sd_pid_notify(3) does. That needs CAP_SYS_ADMIN. The line stays until it is set again or
// the process ends. For a unit with NotifyAccess=main, systemd accepts it only from the
// main process.
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

// oneLine replaces line breaks, which would begin another variable of sd_notify(3).
func oneLine(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return string(b)
}
