// Package datadir changes etcd's data directory while etcd does not run. The data are in
// its subdirectory "member". They are never deleted, only moved aside: into DIRECTORY-former beside
// the data directory, or into the data directory itself if that is a mount point. etcd warns at each
// start of whatever else is in its data directory.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/host/fsync"
)

// Path is the data directory of etcd-member.service.
const Path = "/var/lib/etcd"

// Dir is a data directory.
type Dir string

// stamp is the format of times in names.
const stamp = "20060102T150405Z"

func (d Dir) member() string { return filepath.Join(string(d), "member") }

// HasData reports whether the directory has the data of a member.
func (d Dir) HasData() (bool, error) {
	_, err := os.Lstat(d.member())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("etcd's data: %w", err)
	}
	return true, nil
}

// ErrRunning says that an etcd has the data open.
var ErrRunning = errors.New("etcd runs on these data; stop it first: systemctl stop etcd-member")

// Unused returns ErrRunning if a process has locked the database, as etcd does.
func (d Dir) Unused() error {
	path := filepath.Join(d.member(), "snap", "db")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("etcd's data: %w", err)
	}
	defer file.Close()
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", path, ErrRunning)
	}
	return err
}

// MoveAside renames the data, so that etcd starts without data, and returns the new name.
func (d Dir) MoveAside(now time.Time) (string, error) {
	if err := d.Unused(); err != nil {
		return "", err
	}
	former, err := d.former(now)
	if err != nil {
		return "", err
	}
	if err := os.Rename(d.member(), filepath.Join(former, "member")); err != nil {
		return "", fmt.Errorf("move etcd's data aside: %w", err)
	}
	return former, d.sync(former)
}

// former makes the directory for former data.
func (d Dir) former(now time.Time) (string, error) {
	if d.isMountPoint() {
		return d.mkdir("former-", now)
	}
	former := Dir(filepath.Clean(string(d)) + "-former")
	return former.mkdir("", now)
}

// isMountPoint reports whether a rename out of the directory is impossible.
func (d Dir) isMountPoint() bool {
	var own, parent unix.Stat_t
	path := filepath.Clean(string(d))
	return unix.Stat(path, &own) == nil && unix.Stat(filepath.Dir(path), &parent) == nil && own.Dev != parent.Dev
}

// sync flushes the directories that a move of the data has changed.
func (d Dir) sync(former string) error {
	return errors.Join(fsync.Path(former), fsync.Path(filepath.Dir(former)), fsync.Path(string(d)))
}

// mkdir makes a directory in the data directory, which is created if necessary.
func (d Dir) mkdir(prefix string, now time.Time) (string, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return "", fmt.Errorf("etcd's data: %w", err)
	}
	path := filepath.Join(string(d), prefix+now.UTC().Format(stamp))
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("etcd's data: %w", err)
	}
	return path, nil
}

// Replace calls make to write new data to DIRECTORY/member in an empty directory, and
// exchanges them atomically with the current data. So there is no moment without data, in
// which etcd would start an empty cluster. Replace returns the directory of the former
// data, or "" if there were none.
func (d Dir) Replace(now time.Time, make func(dir string) error) (string, error) {
	if err := d.Unused(); err != nil {
		return "", err
	}
	building, err := d.mkdir("restoring-", now)
	if err != nil {
		return "", err
	}
	if err := d.build(building, make); err != nil {
		return "", errors.Join(err, os.RemoveAll(building))
	}
	built := filepath.Join(building, "member")
	had, err := d.HasData()
	if err != nil {
		return "", err
	}
	if !had {
		if err := os.Rename(built, d.member()); err != nil {
			return "", fmt.Errorf("put etcd's new data in place: %w", err)
		}
		return "", errors.Join(os.Remove(building), fsync.Path(string(d)))
	}
	// From here on the directory "building" has the former data and must not be deleted.
	if err := unix.Renameat2(unix.AT_FDCWD, built, unix.AT_FDCWD, d.member(), unix.RENAME_EXCHANGE); err != nil {
		return "", fmt.Errorf("exchange etcd's data: %w", err)
	}
	former, err := d.former(now)
	if err == nil {
		err = os.Rename(built, filepath.Join(former, "member"))
	}
	if err != nil {
		return building, fmt.Errorf("etcd's former data are in %s: %w", building, err)
	}
	return former, errors.Join(os.Remove(building), d.sync(former))
}

// build makes the data with the owner of the directory, and flushes them to the disk.
func (d Dir) build(dir string, make func(string) error) error {
	if err := make(dir); err != nil {
		return err
	}
	info, err := os.Stat(string(d))
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("etcd's data: %w", err)
		}
		return fsync.Path(path)
	})
}

// Room returns the free bytes for etcd and the total bytes in the file system of a
// directory. If the directory does not exist, its parent is used.
func Room(path string) (free, total int64, err error) {
	var s unix.Statfs_t
	err = unix.Statfs(path, &s)
	if errors.Is(err, fs.ErrNotExist) {
		err = unix.Statfs(filepath.Dir(path), &s)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("free space at %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// NeedRoom returns an error unless the file system has that many bytes free and a reserve
// for other files.
func NeedRoom(path string, need int64) error {
	const reserve = 64 << 20
	free, _, err := Room(path)
	if err == nil && free < need+reserve {
		err = fmt.Errorf("%s has %d MB free, and %d MB are needed: delete files there, or use a larger disk", path, free>>20, (need+reserve)>>20)
	}
	return err
}
