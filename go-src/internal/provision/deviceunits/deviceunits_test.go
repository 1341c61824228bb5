package deviceunits

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/coreos/go-systemd/v22/unit"
	"github.com/godbus/dbus/v5"
)

// client connects as programs do that look for systemd.
func client(t *testing.T, path string) *systemd.Conn {
	t.Helper()
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) {
		conn, err := dbus.Dial("unix:path=" + path)
		if err != nil {
			return nil, err
		}
		return conn, conn.Auth([]dbus.Auth{dbus.AuthExternal("0")})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func start(t *testing.T, wait func(context.Context, string) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "systemd", "private")
	s := &Server{Version: "257.13", Wait: wait}
	if err := s.Listen(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestStartUnit(t *testing.T) {
	plugged := make(chan struct{})
	conn := client(t, start(t, func(ctx context.Context, path string) error {
		switch path {
		case "/dev/disk/by-id/virtio-data-1":
			<-plugged
			return nil
		case "/dev/there":
			return nil
		}
		return errors.New("no " + path)
	}))
	results := map[string]chan string{}
	for _, device := range []string{"/dev/disk/by-id/virtio-data-1", "/dev/there", "/dev/never"} {
		results[device] = make(chan string, 1)
		if _, err := conn.StartUnitContext(t.Context(), unit.UnitNamePathEscape(device+".device"), "replace", results[device]); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-results["/dev/there"]; got != "done" {
		t.Errorf("a device that is there: %s", got)
	}
	if got := <-results["/dev/never"]; got != "timeout" {
		t.Errorf("a device that never comes: %s", got)
	}
	select {
	case got := <-results["/dev/disk/by-id/virtio-data-1"]:
		t.Errorf("a device that is not there yet: %s", got)
	default:
	}
	close(plugged)
	if got := <-results["/dev/disk/by-id/virtio-data-1"]; got != "done" {
		t.Errorf("a device that comes: %s", got)
	}
}

func TestOther(t *testing.T) {
	conn := client(t, start(t, nil))
	if version, err := conn.GetManagerProperty("Version"); err != nil || version != `"257.13"` {
		t.Errorf("version %s, error %v", version, err)
	}
	if _, err := conn.GetManagerProperty("Architecture"); err == nil {
		t.Error("a property that is not known has a value")
	}
	if _, err := conn.StartUnitContext(t.Context(), "docker.service", "replace", nil); err == nil || !strings.Contains(err.Error(), "does not run yet") {
		t.Errorf("a service: error %v", err)
	}
	if err := conn.ReloadContext(t.Context()); err == nil {
		t.Error("what cannot be done was done")
	}
}

// TestStrangers has peers that do not speak D-Bus; others are served all the same.
func TestStrangers(t *testing.T) {
	path := start(t, func(context.Context, string) error { return nil })
	for _, text := range []string{"", "\x00", "GET / HTTP/1.0\r\n\r\n", "\x00AUTH\r\nBEGIN\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\x00" + strings.Repeat("AUTH\r\n", 20)} {
		socket, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = socket.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = socket.Write([]byte(text))
		_ = socket.Close()
	}
	result := make(chan string, 1)
	if _, err := client(t, path).StartUnitContext(t.Context(), "dev-x.device", "replace", result); err != nil {
		t.Fatal(err)
	}
	if got := <-result; got != "done" {
		t.Error(got)
	}
}
