package initramfs

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// systemd is the program that the initramfs starts at its end.
const systemd = "/usr/lib/systemd/systemd"

// switchRoot makes sysroot the root file system.
func switchRoot() error {
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := unix.Mount(dir, sysroot+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	if err := unix.Chdir(sysroot); err != nil {
		return err
	}
	freeInitramfs("/")
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// startSystemd replaces this process by systemd.
func startSystemd() error {
	return fmt.Errorf("start %s: %w", systemd, unix.Exec(systemd, []string{systemd}, environment))
}

// freeInitramfs frees the memory of the initramfs: it removes all files on the file system
// of root. This process continues to run from its removed file.
func freeInitramfs(root string) {
	var top unix.Stat_t
	if unix.Lstat(root, &top) != nil {
		return
	}
	removeBelow(root, top.Dev)
}

func removeBelow(dir string, device uint64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil || st.Dev != device {
			continue // another file system is mounted there
		}
		if entry.IsDir() {
			removeBelow(path, device)
		}
		_ = os.Remove(path)
	}
}
