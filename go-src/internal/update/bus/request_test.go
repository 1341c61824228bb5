package bus

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"coreos/internal/update/status"
)

// idle is an update-engine that has nothing to do.
type idle struct{ Engine }

func (idle) Status() status.Status { return status.Status{Operation: status.Idle} }

// A request for a restart counts for a follower that runs, and for one that begins later. The
// signal alone, which every process can send, does not.
func TestRequestReboot(t *testing.T) {
	address := startBus(t)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := Export(ctx, connect(t, address), idle{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "coreos", "need-reboot")
	client := func() *Client {
		c := NewClient(connect(t, address))
		c.request = path
		return c
	}

	if needed, err := client().RebootNeeded(ctx); needed || err != nil {
		t.Errorf("before the request: needed %v, %v", needed, err)
	}
	early := client().Follow(ctx)
	wantOperation(ctx, t, early, status.Idle)
	stranger := connect(t, address)
	if err := stranger.Emit(Path, Interface+".StatusUpdate", int64(0), float64(0), string(status.NeedReboot), "", int64(0)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-early.Changed():
	case <-ctx.Done():
		t.Fatal("the follower did not see the signal")
	}
	wantOperation(ctx, t, early, status.Idle)

	if err := client().RequestReboot(ctx); err != nil {
		t.Fatal(err)
	}
	wantOperation(ctx, t, early, status.NeedReboot)
	wantOperation(ctx, t, client().Follow(ctx), status.NeedReboot)
	if needed, err := client().RebootNeeded(ctx); !needed || err != nil {
		t.Errorf("after the request: needed %v, %v", needed, err)
	}
}

// startBus starts a bus of its own, and returns its address.
func startBus(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("no dbus-daemon: make host-tools installs it")
	}
	daemon := exec.CommandContext(t.Context(), path, "--session", "--nofork", "--print-address=1", "--address=unix:path="+filepath.Join(t.TempDir(), "bus"))
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

// wantOperation waits until a follower says an operation.
func wantOperation(ctx context.Context, t *testing.T, f *Follower, want status.Operation) {
	t.Helper()
	for {
		s, err := f.Status()
		if err == nil && s.Operation == want {
			return
		}
		select {
		case <-f.Changed():
		case <-ctx.Done():
			t.Fatalf("operation %s instead of %s, error %v", s.Operation, want, err)
		}
	}
}
