package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// makeCgroup makes a directory of cgroup 2 for the machines, and removes those of runs that
// were killed.
func (l *Lab) makeCgroup() error {
	const prefix = "coreos-test-"
	mount, err := cgroupMount("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(mount, prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		_ = removeCgroup(dir) // unless it is in use
	}
	if l.cgroup, err = os.MkdirTemp(mount, prefix); err != nil {
		return fmt.Errorf("a control group of its own: %w", err)
	}
	return nil
}

// cgroupMount returns where cgroup 2 is mounted.
func cgroupMount(mountinfo string) (string, error) {
	file, err := os.Open(mountinfo)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", errors.New("cgroup 2 is not mounted")
}

// killCgroup ends all processes below a control group at once.
func killCgroup(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

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
