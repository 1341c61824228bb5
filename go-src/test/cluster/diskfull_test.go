package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/locksmith"
	"coreos/internal/update/status"
	"coreos/test/etcdtest"
)

// waiting is a machine that needs a restart.
type waiting struct {
	needed   atomic.Bool
	changed  chan struct{}
	restarts atomic.Int32
}

func (w *waiting) Status() (status.Status, error) {
	s := status.Status{Version: "1.0.0", Proven: true, Operation: status.Idle}
	if w.needed.Load() {
		s.Operation, s.NewVersion = status.NeedReboot, "2.0.0"
	}
	return s, nil
}
func (w *waiting) Changed() <-chan struct{}                     { return w.changed }
func (w *waiting) RunsEtcd(context.Context) (bool, error)       { return true, nil }
func (w *waiting) Inhibitors(context.Context) ([]string, error) { return nil, nil }
func (w *waiting) Warn(context.Context, string) (int, error)    { return 0, nil }
func (w *waiting) Drain(context.Context) error                  { return nil }
func (w *waiting) Resume(context.Context)                       {}
func (w *waiting) Reboot(context.Context) error                 { w.restarts.Add(1); return nil }

// TestNoRestartWhileEtcdHasNoDisk fills the disk under etcd: a machine that needs a
// restart does not get the lock, does not restart, and says why; when there is room again,
// it does.
func TestNoRestartWhileEtcdHasNoDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=160m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	c := etcdtest.New(t, 1, etcdtest.Flags("--data-dir", filepath.Join(disk, "data")))
	etcd := c.Client(t)

	machine := &waiting{changed: make(chan struct{}, 1)}
	statuses := make(chan locksmith.Status, 1000)
	d := locksmith.Daemon{
		ID: "m1", BootID: "boot1", Strategy: locksmith.EtcdLock, Updates: machine, Host: machine, Lock: lock.New(etcd, ""),
		Now: time.Now, Tell: func(s locksmith.Status) { statuses <- s },
	}
	ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
	defer stop()
	go func() { _ = d.Run(ctx) }()
	wait := func(state coordinator.State, text string) {
		t.Helper()
		for {
			select {
			case s := <-statuses:
				if s.State == state && strings.Contains(s.Text, text) {
					t.Logf("%s: %s", s.State, s.Text)
					return
				}
			case <-ctx.Done():
				t.Fatalf("the status never was %s: %s", state, text)
			}
		}
	}
	wait(coordinator.Running, "no restart is needed")

	filler := filepath.Join(disk, "filler")
	fill(t, disk, filler)
	// etcd still writes as much as fits into the space that it has reserved.
	for full := false; !full; {
		put, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := etcd.Put(put, "large", strings.Repeat("x", 1<<20))
		cancel()
		full = err != nil
		if ctx.Err() != nil {
			t.Fatal("etcd writes on, without a disk")
		}
	}
	machine.needed.Store(true)
	machine.changed <- struct{}{}
	wait(coordinator.RebootPlanned, "no restart without the lock: etcd at")
	if n := machine.restarts.Load(); n != 0 {
		t.Fatalf("%d restarts", n)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if !c.Member(0).Running() {
		if err := c.Member(0).Start(); err != nil {
			t.Fatal(err)
		}
	}
	wait(coordinator.Rebooting, "restarts")
	if n := machine.restarts.Load(); n != 1 {
		t.Errorf("%d restarts", n)
	}
}

// fill fills a file system with one file.
func fill(t *testing.T, dir, path string) {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Fallocate(int(file.Fd()), 0, 0, int64(s.Bavail)*s.Bsize); err != nil {
		t.Fatal(err)
	}
}
