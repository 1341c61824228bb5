package hooks

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func hook(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), mode); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	seen := filepath.Join(t.TempDir(), "seen")
	for _, name := range []string{"20-b", "10-a", "30-c"} {
		hook(t, dir, name, "echo "+name+" $1 >>"+seen, 0o755)
	}
	hook(t, dir, "README", "echo readme >>"+seen, 0o644)
	h := Hooks{Dirs: []string{dir}, Limit: time.Minute, Launch: []string{"env", "A=b"}}
	if err := h.Run(context.Background(), "reboot"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(seen); string(text) != "10-a reboot\n20-b reboot\n30-c reboot\n" {
		t.Errorf("%s", text)
	}
	hook(t, dir, "15-fails", "yes | head -c 100000; echo; echo the database is busy >&2; exit 3", 0o755)
	err := h.Run(context.Background(), "reboot")
	if err == nil || !strings.Contains(err.Error(), "15-fails: exit status 3") || !strings.Contains(err.Error(), "the database is busy") || len(err.Error()) > 1000 {
		t.Errorf("error %v", err)
	}
}

func TestRunEndsWhatTakesTooLong(t *testing.T) {
	dir := t.TempDir()
	hook(t, dir, "10-hangs", "sleep 1000 & wait", 0o755)
	start := time.Now()
	err := Hooks{Dirs: []string{dir}, Limit: 200 * time.Millisecond}.Run(context.Background(), "reboot")
	if err == nil || !strings.Contains(err.Error(), "not done within 200ms") || time.Since(start) > 4*time.Second {
		t.Errorf("error %v after %s", err, time.Since(start))
	}
}

func TestNoHooks(t *testing.T) {
	if err := (Hooks{Dirs: []string{filepath.Join(t.TempDir(), "none")}, Limit: time.Second}).Run(context.Background(), "reboot"); err != nil {
		t.Error(err)
	}
}

// TestOwnHooksWin has hooks of the system that the operator replaces and switches off.
func TestOwnHooksWin(t *testing.T) {
	own, system := t.TempDir(), t.TempDir()
	seen := filepath.Join(t.TempDir(), "seen")
	for _, name := range []string{"10-a", "20-b", "30-c"} {
		hook(t, system, name, "echo system "+name+" >>"+seen, 0o755)
	}
	if err := os.Symlink("gone", filepath.Join(own, "50-e")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"20-b", "40-d"} {
		hook(t, own, name, "echo own "+name+" >>"+seen, 0o755)
	}
	if err := os.Symlink("/dev/null", filepath.Join(own, "30-c")); err != nil {
		t.Fatal(err)
	}
	h := Hooks{Dirs: []string{system, own}, Limit: time.Minute}
	if err := h.Run(context.Background(), "reboot"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(seen); string(text) != "system 10-a\nown 20-b\nown 40-d\n" {
		t.Errorf("%s", text)
	}
}
