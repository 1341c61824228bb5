// Package logind asks systemd-logind which programs inhibit a shutdown and which users are
// logged in, and restarts the machine (org.freedesktop.login1(5)).
package logind

import (
	"context"
	"errors"
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

// Logind is a connection to systemd-logind over D-Bus.
type Logind struct{ bus *dbus.Conn }

// New returns the systemd-logind of a bus.
func New(bus *dbus.Conn) *Logind { return &Logind{bus} }

// callTime is the time limit of a call; logind answers at once.
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

// Inhibitors returns the programs that block a shutdown, with their reasons.
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
	checkInhibitors = 1 << 0 // respect inhibitors, also for root
	viaKexec        = 1 << 1 // restart by kexec if a kernel is loaded
)

// Reboot restarts the machine, unless a program inhibits that.
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

// Terminals returns the terminals on which users are logged in, such as "pts/0".
func (l *Logind) Terminals(ctx context.Context) ([]string, error) {
	var all []session
	if err := l.call(ctx, "ListSessions", &all); err != nil {
		return nil, err
	}
	var terminals []string
	for _, s := range all {
		class, err := l.property(ctx, s.Path, "Class")
		if err != nil {
			return nil, err
		}
		if class != "user" {
			continue // the session has ended, or is of a greeter or of a service manager
		}
		tty, err := l.property(ctx, s.Path, "TTY")
		if err != nil {
			return nil, err
		}
		if tty != "" {
			terminals = append(terminals, tty)
		}
	}
	return terminals, nil
}

// property returns a string that is a property of a session, "" if the session has ended.
func (l *Logind) property(ctx context.Context, session dbus.ObjectPath, property string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var value string
	err := l.bus.Object(name, session).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, name+".Session", property).Store(&value)
	if gone := new(dbus.Error); errors.As(err, gone) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("systemd-logind: property %s of session %s: %w", property, session, err)
	}
	return value, nil
}

// Warn writes a message to the terminals on which users are logged in, and returns their
// number.
func (l *Logind) Warn(ctx context.Context, message string) (int, error) {
	terminals, err := l.Terminals(ctx)
	for _, terminal := range terminals {
		write(filepath.Join("/dev", terminal), message)
	}
	return len(terminals), err
}

// write writes to a terminal. It skips a terminal that would block, because its user
// stopped the output, and any other kind of file.
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
