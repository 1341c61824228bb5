package initramfs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// makeTree makes a tree with links to a file and a directory outside of it.
func makeTree(t *testing.T) (root, outside string) {
	t.Helper()
	root, outside = t.TempDir(), t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(root, "usr/lib/modules"), 0o755),
		os.MkdirAll(filepath.Join(root, "sysroot/deep"), 0o755),
		os.WriteFile(filepath.Join(root, "init"), nil, 0o755),
		os.WriteFile(filepath.Join(root, "usr/lib/modules/ext4.ko"), nil, 0o644),
		os.WriteFile(filepath.Join(outside, "kept"), nil, 0o644),
		os.Symlink(outside, filepath.Join(root, "link")),
		os.Symlink(filepath.Join(outside, "kept"), filepath.Join(root, "usr/file")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return root, outside
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestFreeInitramfs(t *testing.T) {
	root, outside := makeTree(t)
	freeInitramfs(root)
	if left := names(t, root); len(left) != 0 {
		t.Errorf("left %q", left)
	}
	if left := names(t, outside); !slices.Equal(left, []string{"kept"}) {
		t.Errorf("outside there is %q left", left)
	}
	freeInitramfs(filepath.Join(root, "missing")) // has nothing to do
}

func TestFreeInitramfsStaysOnItsDevice(t *testing.T) {
	root, _ := makeTree(t)
	mounted := filepath.Join(root, "sysroot")
	if err := unix.Mount("tmpfs", mounted, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("cannot mount a tmpfs:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mounted, 0); err != nil {
			t.Error(err)
		}
	})
	err := errors.Join(os.Mkdir(filepath.Join(mounted, "etc"), 0o755), os.WriteFile(filepath.Join(mounted, "etc/hostname"), nil, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	freeInitramfs(root)
	if left := names(t, root); !slices.Equal(left, []string{"sysroot"}) {
		t.Errorf("left %q, want the mount point alone", left)
	}
	if left := names(t, filepath.Join(mounted, "etc")); !slices.Equal(left, []string{"hostname"}) {
		t.Errorf("of the mounted file system there is %q left", left)
	}
}

func TestRemoveBelowOtherDevice(t *testing.T) {
	root, _ := makeTree(t)
	before := names(t, root)
	var top unix.Stat_t
	if err := unix.Lstat(root, &top); err != nil {
		t.Fatal(err)
	}
	removeBelow(root, top.Dev+1)
	if left := names(t, root); !slices.Equal(left, before) {
		t.Errorf("left %q, want %q", left, before)
	}
}
