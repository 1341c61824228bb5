package room

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		space Space
		need  int64
		want  string // part of the error, "" for none
	}{
		"enough":            {Space{Available: 4096, Files: 100}, 4096, ""},
		"not enough":        {Space{Available: 4096, Files: 100}, 6000, "2 KiB of disk space are missing (6 KiB must be free, 4 KiB are)"},
		"nothing":           {Space{Files: 100}, 8 << 20, "8192 KiB of disk space are missing"},
		"no files":          {Space{Available: 8192, Files: 3}, 4096, "no room for more files"},
		"files have no end": {Space{Available: 8192, NoLimit: true}, 4096, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.space.judge("/var", test.space.Available, test.need)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err != nil && (!errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "/var is full") || !strings.Contains(err.Error(), "docker system prune")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNeed fills a file system.
func TestNeed(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a full disk needs root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for _, need := range []func(string, int64) error{Need, NeedForAll} {
		if err := need(dir, 512<<10); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, need := range []func(string, int64) error{Need, NeedForAll} {
		var full *Error
		if err := need(dir, 512<<10); !errors.As(err, &full) || full.Left != 0 || full.Path != dir {
			t.Errorf("got %v", err)
		}
	}
	if err := Need(filepath.Join(dir, "missing"), 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
