package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newDir is a directory with data.
func newDir(t *testing.T) Dir {
	t.Helper()
	d := Dir(filepath.Join(t.TempDir(), "etcd"))
	put(t, string(d), "old")
	return d
}

// put writes a database that holds a text.
func put(t *testing.T, dir, text string) {
	t.Helper()
	snap := filepath.Join(dir, "member", "snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snap, "db"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func has(dir, text string) bool {
	got, err := os.ReadFile(filepath.Join(dir, "member", "snap", "db"))
	return err == nil && string(got) == text
}

func TestMoveAside(t *testing.T) {
	d := newDir(t)
	former, err := d.MoveAside(now)
	if err != nil {
		t.Fatal(err)
	}
	if former != string(d)+"-former/20260102T030405Z" || !has(former, "old") {
		t.Errorf("the data are in %s", former)
	}
	if entries, _ := os.ReadDir(string(d)); len(entries) != 0 {
		t.Errorf("etcd would warn of %v in its data directory", entries)
	}
	if there, err := d.HasData(); there || err != nil {
		t.Error("the data are still there", err)
	}
}

func TestReplace(t *testing.T) {
	d := newDir(t)
	former, err := d.Replace(now, func(dir string) error {
		put(t, dir, "new")
		return nil
	})
	if err != nil || !has(string(d), "new") || !has(former, "old") {
		t.Errorf("former data in %q, %v", former, err)
	}
	entries, _ := os.ReadDir(string(d))
	if len(entries) != 1 || former != string(d)+"-former/20260102T030405Z" {
		t.Errorf("left behind: %v", entries)
	}
}

// TestMountPoint has a data directory that is a file system of its own.
func TestMountPoint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	for what, move := range map[string]func(Dir) (string, error){
		"moved aside": func(d Dir) (string, error) { return d.MoveAside(now) },
		"replaced": func(d Dir) (string, error) {
			return d.Replace(now, func(dir string) error { put(t, dir, "new"); return nil })
		},
	} {
		d := Dir(t.TempDir())
		if err := unix.Mount("tmpfs", string(d), "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(string(d), unix.MNT_DETACH) })
		put(t, string(d), "old")
		former, err := move(d)
		if err != nil || former != string(d)+"/former-20260102T030405Z" || !has(former, "old") {
			t.Errorf("%s: the data are in %q, %v", what, former, err)
		}
	}
}

func TestReplaceNothing(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "etcd"))
	former, err := d.Replace(now, func(dir string) error {
		put(t, dir, "new")
		return nil
	})
	if entries, _ := os.ReadDir(string(d)); err != nil || former != "" || !has(string(d), "new") || len(entries) != 1 {
		t.Errorf("got %q, %v, %v", former, err, entries)
	}
}

func TestReplaceFails(t *testing.T) {
	d := newDir(t)
	_, err := d.Replace(now, func(dir string) error {
		put(t, dir, "half")
		return errors.New("damaged")
	})
	if entries, _ := os.ReadDir(string(d)); err == nil || !has(string(d), "old") || len(entries) != 1 {
		t.Errorf("got %v, %v", err, entries)
	}
}

func TestInUse(t *testing.T) {
	d := newDir(t)
	file, err := os.Open(filepath.Join(string(d), "member", "snap", "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := d.MoveAside(now); !errors.Is(err, ErrRunning) || !has(string(d), "old") {
		t.Errorf("got %v", err)
	}
	if _, err := d.Replace(now, nil); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
}

func TestNeedRoom(t *testing.T) {
	if err := NeedRoom(t.TempDir(), 0); err != nil {
		t.Error(err)
	}
	if err := NeedRoom(t.TempDir(), 1<<60); err == nil || !strings.Contains(err.Error(), "needed") {
		t.Errorf("got %v", err)
	}
}
