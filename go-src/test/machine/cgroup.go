package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups is where this process sees cgroup 2, and nothing of version 1, as if the host had
// only that: systemd-nspawn then leaves the host's other hierarchies alone.
const cgroups = "/sys/fs/cgroup"

// makeCgroup makes a directory of cgroup 2 for the machines, and removes those of runs that
// were killed.
func (l *Lab) makeCgroup() error {
	const prefix = "coreos-test-"
	if err := unix.Mount("cgroup2", cgroups, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount cgroup 2: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(cgroups, prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		_ = removeCgroup(dir) // unless it is in use
	}
	if l.cgroup, err = os.MkdirTemp(cgroups, prefix); err != nil {
		return fmt.Errorf("a control group of its own: %w", err)
	}
	return nil
}

// killCgroup ends all processes below a control group at once.
func killCgroup(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// emptyCgroup ends all processes below a control group and waits until they are gone.
func emptyCgroup(dir string) error {
	if err := killCgroup(dir); err != nil {
		return err
	}
	events, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer func() { _ = events.Close() }()
	text := make([]byte, 256)
	for {
		n, err := events.ReadAt(text, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if strings.Contains(string(text[:n]), "populated 0") {
			return nil
		}
		changed := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		if n, err := unix.Poll(changed, int(emptyLimit.Milliseconds())); n == 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("processes in %s do not end: %w", dir, err)
		}
	}
}

// emptyLimit is for how long processes that were killed may take to be gone.
const emptyLimit = 10 * time.Second

// removeCgroup removes a control group that has no processes, with those below it.
func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroup(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}
