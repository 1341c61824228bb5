package logind

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// peers returns two connections, each the other's bus.
func peers(t *testing.T) (a, b *dbus.Conn) {
	t.Helper()
	var buses [2]net.Conn
	var conns [2]*dbus.Conn
	for i := range conns {
		var side net.Conn
		side, buses[i] = net.Pipe()
		conn, err := dbus.NewConn(side)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
		t.Cleanup(func() { _ = conn.Close() })
	}
	for i, bus := range buses {
		go func() {
			in := bufio.NewReader(bus)
			if admit(in, bus) == nil {
				_, _ = io.Copy(buses[1-i], in)
			}
			_ = buses[1-i].Close()
		}()
	}
	for _, conn := range conns {
		if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
			t.Fatal(err)
		}
	}
	return conns[0], conns[1]
}

// admit is a bus's part of the authentication: it lets everybody in.
func admit(in *bufio.Reader, out io.Writer) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "BEGIN") {
			return err
		}
		reply := "REJECTED EXTERNAL" // to the question which ways there are
		if strings.Contains(line, "EXTERNAL") {
			reply = "OK 0123456789abcdef0123456789abcdef"
		}
		if _, err := fmt.Fprintf(out, "%s\r\n", reply); err != nil {
			return err
		}
	}
}

// host is a systemd-logind.
type host struct {
	Sessions   []session
	Programs   []inhibitor
	properties map[dbus.ObjectPath]map[string]string
	silent     dbus.ObjectPath // a session of which it says nothing
	stop       chan struct{}
	rebooted   chan uint64
}

func (h *host) ListSessions() ([]session, *dbus.Error)     { return h.Sessions, nil }
func (h *host) ListInhibitors() ([]inhibitor, *dbus.Error) { return h.Programs, nil }

func (h *host) RebootWithFlags(flags uint64) *dbus.Error {
	h.rebooted <- flags
	return nil
}

// properties is a session's part of org.freedesktop.DBus.Properties.
type properties struct {
	*host
	session dbus.ObjectPath
}

func (p properties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	if p.session == p.silent {
		<-p.stop
	}
	value, ok := p.properties[p.session][name]
	if !ok {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownObject", nil)
	}
	return dbus.MakeVariant(value), nil
}

// run returns the host's logind as its clients see it.
func (h *host) run(t *testing.T) *Logind {
	t.Helper()
	h.stop, h.rebooted = make(chan struct{}), make(chan uint64, 1)
	t.Cleanup(func() { close(h.stop) })
	client, server := peers(t)
	err := server.Export(h, path, name+".Manager")
	for _, s := range h.Sessions {
		err = errors.Join(err, server.Export(properties{h, s.Path}, s.Path, "org.freedesktop.DBus.Properties"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return New(client)
}

func TestTerminals(t *testing.T) {
	h := &host{
		Sessions: []session{{ID: "1", Path: "/s/1"}, {ID: "2", Path: "/s/2"}, {ID: "3", Path: "/s/3"}, {ID: "4", Path: "/s/4"}, {ID: "5", Path: "/s/5"}},
		properties: map[dbus.ObjectPath]map[string]string{
			"/s/1": {"Class": "user", "TTY": "pts/0"},
			"/s/2": {"Class": "manager", "TTY": ""},
			"/s/3": {"Class": "user", "TTY": ""},
			"/s/5": {"Class": "user", "TTY": "ttyS0"}, // 4 has ended meanwhile
		},
	}
	if got, err := h.run(t).Terminals(t.Context()); err != nil || !slices.Equal(got, []string{"pts/0", "ttyS0"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestTerminalsOfASilentHost asks a logind that hangs.
func TestTerminalsOfASilentHost(t *testing.T) {
	h := &host{Sessions: []session{{ID: "1", Path: "/s/1"}}, silent: "/s/1"}
	logind := h.run(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := logind.Terminals(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestInhibitors(t *testing.T) {
	h := &host{Programs: []inhibitor{
		{What: "sleep:shutdown", Who: "apt", Why: "installs", Mode: "block"},
		{What: "shutdown", Who: "unattended", Why: "waits", Mode: "delay"},
		{What: "shutdown", Who: "backup", Why: "copies", Mode: "block-weak"},
		{What: "handle-power-key", Who: "desktop", Why: "asks", Mode: "block"},
	}}
	if got, err := h.run(t).Inhibitors(t.Context()); err != nil || !slices.Equal(got, []string{"apt (installs)", "backup (copies)"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReboot(t *testing.T) {
	for kexec, want := range map[bool]uint64{false: 1, true: 3} {
		h := &host{}
		if err := h.run(t).Reboot(t.Context(), kexec); err != nil {
			t.Fatal(err)
		}
		if flags := <-h.rebooted; flags != want {
			t.Errorf("by kexec %t: flags %d, want %d", kexec, flags, want)
		}
	}
}
