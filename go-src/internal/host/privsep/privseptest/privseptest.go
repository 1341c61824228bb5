// Package privseptest serves privileged actions in the process of a test.
package privseptest

import (
	"net"
	"path/filepath"
	"testing"

	"coreos/internal/host/privsep"
)

// Listen serves actions on a socket until the test ends, as systemd and the service do.
func Listen(t testing.TB, actions map[string]privsep.Action) privsep.Socket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	ctx := t.Context() // a fuzz target must not ask for it
	go func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				_ = privsep.ServeConn(ctx, conn, actions)
				_ = conn.Close()
			}()
		}
	}()
	return privsep.Socket(path)
}
