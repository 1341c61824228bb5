// Package logind asks systemd-logind about what keeps the machine up and who is logged
// in, and has it restart the machine (org.freedesktop.login1(5)).
package logind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	name    = "org.freedesktop.login1"
	path    = dbus.ObjectPath("/org/freedesktop/login1")
	manager = name + ".Manager."
)

// Logind is systemd-logind, by D-Bus.
type Logind struct{ bus *dbus.Conn }

// New returns systemd-logind on a bus.
func New(bus *dbus.Conn) *Logind { return &Logind{bus} }

// callTime bounds a call: logind answers at once.
const callTime = 30 * time.Second

func (l *Logind) call(ctx context.Context, method string, to any, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	call := l.bus.Object(name, path).CallWithContext(ctx, manager+method, 0, args...)
	err := call.Err
	if err == nil && to != nil {
		err = call.Store(to)
	}
	if err != nil {
		return fmt.Errorf("systemd-logind: %s: %w", method, err)
	}
	return nil
}

// inhibitor is an element of ListInhibitors' a(ssssuu). What is a list with colons.
type inhibitor struct {
	What, Who, Why, Mode string
	UID, PID             uint32
}

// Inhibitors names the programs that block a shutdown, with their reasons.
func (l *Logind) Inhibitors(ctx context.Context) ([]string, error) {
	var all []inhibitor
	if err := l.call(ctx, "ListInhibitors", &all); err != nil {
		return nil, err
	}
	var blocking []string
	for _, i := range all {
		if strings.HasPrefix(i.Mode, "block") && slices.Contains(strings.Split(i.What, ":"), "shutdown") {
			blocking = append(blocking, fmt.Sprintf("%s (%s)", i.Who, i.Why))
		}
	}
	return blocking, nil
}

// Flags of RebootWithFlags.
const (
	checkInhibitors = 1 << 0 // for root, too
	viaKexec        = 1 << 1 // if a kernel is loaded
)

// Reboot has the machine restart, unless something inhibits that.
func (l *Logind) Reboot(ctx context.Context, kexec bool) error {
	flags := uint64(checkInhibitors)
	if kexec {
		flags |= viaKexec
	}
	return l.call(ctx, "RebootWithFlags", nil, flags)
}

// session is an element of ListSessions' a(susso).
type session struct {
	ID   string
	UID  uint32
	User string
	Seat string
	Path dbus.ObjectPath
}

// Terminals returns the terminals on which people are logged in, such as "pts/0".
func (l *Logind) Terminals(ctx context.Context) ([]string, error) {
	var all []session
	if err := l.call(ctx, "ListSessions", &all); err != nil {
		return nil, err
	}
	var terminals []string
	for _, s := range all {
		object := l.bus.Object(name, s.Path)
		class, err := object.GetProperty(name + ".Session.Class")
		if err != nil || class.Value() != "user" {
			continue // it has ended, or is a greeter or a manager
		}
		if tty, err := object.GetProperty(name + ".Session.TTY"); err == nil && tty.Value() != "" {
			terminals = append(terminals, fmt.Sprint(tty.Value()))
		}
	}
	return terminals, nil
}

// Warn writes a message to the terminals on which people are logged in and returns how
// many these are.
func (l *Logind) Warn(ctx context.Context, message string) (int, error) {
	terminals, err := l.Terminals(ctx)
	for _, terminal := range terminals {
		write(filepath.Join("/dev", terminal), message)
	}
	return len(terminals), err
}

// write writes to a terminal, and to nothing else. One that does not take it at once,
// since its owner stopped it, is left alone.
func write(path, message string) {
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		_, _ = fmt.Fprintf(file, "\r\n\aMessage from locksmithd at %s:\r\n%s\r\n", time.Now().Format("15:04:05"), message)
	}
}
