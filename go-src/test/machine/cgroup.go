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

// cgroups is the path of cgroup 2 in this process, which sees nothing of version 1. So
// systemd-nspawn does not touch the host's other hierarchies.
const cgroups = "/sys/fs/cgroup"

// makeCgroup makes a directory of cgroup 2 for the machines, and removes those of runs that
// were killed.
func (l *Lab) makeCgroup() error {
	const prefix = "coreos-test-"
	if err := unix.Mount("cgroup2", cgroups, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount cgroup 2: %w", err)
	}
	var err error
	l.group, err = ownDirectory(cgroups, prefix)
	return err
}

// ownDirectory makes a directory whose name begins with the prefix, and removes those that no
// process has open: of runs that were killed.
func ownDirectory(in, prefix string) (*os.File, error) {
	left, err := filepath.Glob(filepath.Join(in, prefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range left {
		if file, err := hold(dir); err == nil {
			_ = removeCgroup(dir)
			_ = file.Close()
		}
	}
	for {
		dir, err := os.MkdirTemp(in, prefix)
		if err != nil {
			return nil, fmt.Errorf("a control group of its own: %w", err)
		}
		file, err := hold(dir)
		if err == nil {
			return file, nil
		}
		// Another run that starts now may have taken the directory for an old one.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
	}
}

// hold locks a directory until the file is closed or this process ends. It fails if another
// process holds it, or if it is gone meanwhile.
func hold(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	return file, nil
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
