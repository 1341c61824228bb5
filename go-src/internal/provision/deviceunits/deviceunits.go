// Package deviceunits stands in for systemd before it runs, for programs that ask it to
// wait for a device: the job that starts the unit of a device ends when udev has announced
// the device. It implements only that part of systemd's D-Bus interface. See
// org.freedesktop.systemd1(5) and systemd.device(5).
package deviceunits

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/godbus/dbus/v5"
)

// Socket is systemd's socket for connections without a bus.
const Socket = "/run/systemd/private"

const (
	manager = "org.freedesktop.systemd1.Manager"
	object  = dbus.ObjectPath("/org/freedesktop/systemd1")
)

// Server serves the interface until it is closed.
type Server struct {
	// Version is the version of systemd to report.
	Version string
	// Wait waits until udev has announced the device at a path.
	Wait func(ctx context.Context, path string) error

	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	mu       sync.Mutex // guards the fields below
	peers    []*dbus.Conn
	jobs     uint32
}

// Listen starts to serve at the socket path, which only root can access.
func (s *Server) Listen(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	s.listener = listener
	s.ctx, s.cancel = context.WithCancel(ctx)
	go s.accept()
	return nil
}

// Close ends all connections and removes the socket.
func (s *Server) Close() error {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, peer := range s.peers {
		_ = peer.Close()
	}
	return s.listener.Close()
}

func (s *Server) accept() {
	for {
		socket, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			if err := s.serve(socket); err != nil {
				_ = socket.Close()
			}
		}()
	}
}

// serve accepts a new connection. D-Bus between peers is symmetric, except for the
// authentication, of which the library implements only the client side.
func (s *Server) serve(socket net.Conn) error {
	in, err := admit(socket)
	if err != nil {
		return err
	}
	peer, err := dbus.NewConn(&admitted{Conn: socket, in: in, script: strings.NewReader("REJECTED EXTERNAL\r\nOK 0\r\n")})
	if err != nil {
		return err
	}
	for _, export := range []struct {
		of         any
		path       dbus.ObjectPath
		interfaces string
	}{
		{&busMethods{}, "/org/freedesktop/DBus", "org.freedesktop.DBus"},
		{&managerMethods{s}, object, manager},
		{&propertyMethods{s}, object, "org.freedesktop.DBus.Properties"},
	} {
		if err := peer.Export(export.of, export.path, export.interfaces); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.peers = append(s.peers, peer)
	s.mu.Unlock()
	return peer.Auth([]dbus.Auth{dbus.AuthExternal("0")})
}

// admit implements the server side of the authentication. The permissions of the socket
// have decided who may connect.
func admit(socket net.Conn) (*bufio.Reader, error) {
	const guid = "636f72656f732d64657669636573756e"
	in := bufio.NewReader(socket)
	if _, err := in.Discard(1); err != nil { // the zero byte that carries credentials
		return nil, err
	}
	for range 10 {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		answer := "ERROR"
		switch words := strings.Fields(line); {
		case len(words) == 1 && words[0] == "BEGIN":
			return in, nil
		case len(words) == 1 && words[0] == "AUTH":
			answer = "REJECTED EXTERNAL"
		case len(words) > 1 && words[0] == "AUTH" && words[1] == "EXTERNAL":
			answer = "OK " + guid
		}
		if _, err := io.WriteString(socket, answer+"\r\n"); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the authentication has too many steps")
}

// admitted is a connection after the authentication, for the library, which starts with it
// as a client: it reads the answers from a script, and its own messages are dropped.
type admitted struct {
	net.Conn
	in     *bufio.Reader
	script *strings.Reader
	begun  bool
}

func (a *admitted) Read(p []byte) (int, error) {
	if a.script.Len() > 0 {
		return a.script.Read(p)
	}
	return a.in.Read(p)
}

func (a *admitted) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = strings.HasPrefix(string(p), "BEGIN")
		return len(p), nil
	}
	return a.Conn.Write(p)
}

type busMethods struct{}

// AddMatch accepts every match, since there is only one kind of signal.
func (*busMethods) AddMatch(string) *dbus.Error { return nil }

type managerMethods struct{ *Server }

// StartUnit starts a job that waits for the device of a unit.
func (m *managerMethods) StartUnit(name, _ string) (dbus.ObjectPath, *dbus.Error) {
	path, ok := strings.CutSuffix(unit.UnitNamePathUnescape(name), ".device")
	if !ok {
		return "", dbus.MakeFailedError(fmt.Errorf("%s is not a device unit, and systemd does not run yet", name))
	}
	m.mu.Lock()
	m.jobs++
	id := m.jobs
	m.mu.Unlock()
	job := dbus.ObjectPath(fmt.Sprintf("%s/job/%d", object, id))
	go func() {
		result := "done"
		if err := m.Wait(m.ctx, path); err != nil {
			result = "timeout"
		}
		m.mu.Lock()
		peers := slices.Clone(m.peers)
		m.mu.Unlock()
		for _, peer := range peers {
			_ = peer.Emit(object, manager+".JobRemoved", id, job, name, result)
		}
	}()
	return job, nil
}

type propertyMethods struct{ *Server }

// Get returns a property of the manager.
func (p *propertyMethods) Get(of, name string) (dbus.Variant, *dbus.Error) {
	if of != manager || name != "Version" {
		return dbus.Variant{}, dbus.MakeFailedError(fmt.Errorf("the property %s of %s is not available, since systemd does not run yet", name, of))
	}
	return dbus.MakeVariant(p.Version), nil
}
