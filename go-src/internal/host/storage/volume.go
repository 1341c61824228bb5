package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// System are the paths that the system writes to.
var System = []string{"/", "/etc", "/var"}

// Volume is a mounted file system.
type Volume struct {
	Where    string // mount point
	Type     string // ext4
	ReadOnly bool   // all of it, not only a mount of it, which a sandbox can have

	Size, Free         uint64 // in bytes; Free is without what is reserved
	Inodes, FreeInodes uint64 // 0 where the file system makes them as it needs them
	Errors             uint64 // that the kernel has found in it, of an ext4
}

func (v Volume) overlay() bool { return v.Type == "overlay" }

// Check returns what is wrong with the file systems of the paths.
func Check(paths ...string) ([]Problem, error) {
	volumes, err := Volumes(paths...)
	if err != nil {
		return nil, err
	}
	var found []Problem
	for _, v := range volumes {
		found = append(found, v.Problems()...)
	}
	return found, nil
}

// Volumes returns the file systems of the paths, each once.
func Volumes(paths ...string) ([]Volume, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("mounts of this machine: %w", err)
	}
	var found []Volume
	for _, path := range paths {
		at := mountOf(mounts, path)
		if at == nil || slices.ContainsFunc(found, func(v Volume) bool { return v.Where == at.Mountpoint }) {
			continue
		}
		v, err := measure(at)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, nil
}

// mountOf returns the mount that a path is on: of those with the longest mount point the last,
// which covers the others.
func mountOf(mounts []*mountinfo.Info, path string) (found *mountinfo.Info) {
	for _, m := range mounts {
		inside := m.Mountpoint == "/" || m.Mountpoint == path || strings.HasPrefix(path, m.Mountpoint+"/")
		if inside && (found == nil || len(m.Mountpoint) >= len(found.Mountpoint)) {
			found = m
		}
	}
	return found
}

// measure asks the kernel about a file system.
func measure(m *mountinfo.Info) (Volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(m.Mountpoint, &s); err != nil {
		return Volume{}, &os.PathError{Op: "statfs", Path: m.Mountpoint, Err: err}
	}
	size := uint64(s.Bsize)
	v := Volume{
		Where: m.Mountpoint, Type: m.FSType, ReadOnly: slices.Contains(strings.Split(m.VFSOptions, ","), "ro"),
		Size: s.Blocks * size, Free: s.Bavail * size, Inodes: s.Files, FreeInodes: s.Ffree,
	}
	var err error
	if m.FSType == "ext4" {
		v.Errors, err = errorsOf(m)
	}
	return v, err
}

// errorsOf returns how many errors the kernel has found in an ext4, also before the last restart.
func errorsOf(m *mountinfo.Info) (uint64, error) {
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", m.Major, m.Minor))
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "errors_count"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
