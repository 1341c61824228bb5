package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/update/config"
	"coreos/internal/update/repository"
	"coreos/internal/update/status"
)

func TestBundle(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	var bundle bytes.Buffer
	w.must(repository.Open(w.repo).WriteBundle(context.Background(), &bundle, board, "1.1.0", repository.BundleFormat))
	path := filepath.Join(w.dir, "update.bundle")
	w.must(os.WriteFile(path, bundle.Bytes(), 0o644))
	w.http.Close()
	w.config.Server = ""
	d := w.machine()
	w.must(d.ApplyBundle(context.Background(), path))
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	d = w.boot(true)
	w.settle(d)
	if w.config.Version != "1.1.0" {
		t.Errorf("version %s runs", w.config.Version)
	}
	if err := d.ApplyBundle(context.Background(), "update.bundle"); err == nil {
		t.Error("a relative path was taken")
	}
	if err := d.ApplyBundle(context.Background(), w.root); !errors.Is(err, repository.ErrBundle) {
		t.Errorf("error %v", err)
	}
}

// The daemon asks by itself, and at once when it is woken.
func TestRun(t *testing.T) {
	w := newWorld(t)
	d := w.machine()
	changes := make(chan status.Status, 1000)
	d.notify = func(s status.Status) { changes <- s }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	wait := func(operation status.Operation) {
		t.Helper()
		timeout := time.After(time.Minute)
		for {
			select {
			case s := <-changes:
				if s.Operation == operation {
					return
				}
			case <-timeout:
				t.Fatalf("no %s", operation)
			}
		}
	}
	wait(status.Checking)
	wait(status.Idle)
	w.publish("1.1.0", "")
	d.Wake()
	wait(status.NeedReboot)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "state/repository/clock")); err != nil {
		t.Errorf("the time is not kept: %v", err)
	}
}

// A file that makes no sense is a state that can be looked at, not a daemon that dies.
func TestWrongConfiguration(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	w.extra = "INTERVAL=never\n"
	d := w.machine()
	for range 2 {
		if _, err := d.Attempt(context.Background(), false); !errors.Is(err, config.ErrLocal) {
			t.Errorf("error %v", err)
		}
	}
	if got := d.Status().LastError; !strings.Contains(got, "INTERVAL") {
		t.Errorf("the status says %q", got)
	}
	w.wantOperation(d, status.Idle, "")
	w.extra = ""
	d = w.machine()
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
}
