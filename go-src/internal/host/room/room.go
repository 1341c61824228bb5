// Package room says how much room a file system has left, and what to do when it has none.
package room

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Space is the room that a file system has left.
type Space struct {
	Free      int64  // bytes for root
	Available int64  // bytes for other users, for whom ext4 keeps less
	Files     uint64 // files that can be made
	NoLimit   bool   // of files: the file system makes room for them as it needs it
}

// Of returns the room in the file system of a path.
func Of(path string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Space{}, fmt.Errorf("free space at %s: %w", path, err)
	}
	return Space{int64(s.Bfree) * s.Bsize, int64(s.Bavail) * s.Bsize, s.Ffree, s.Files == 0}, nil
}

// Error says that a file system is too full. It is a kind of ENOSPC.
type Error struct {
	Path       string
	Need, Left int64 // bytes; equal if the file system has no room for more files
}

func (e *Error) Error() string {
	what := fmt.Sprintf("%d KiB of disk space are missing (%d KiB must be free, %d KiB are)", kib(e.Need-e.Left), kib(e.Need), e.Left>>10)
	if e.Need == e.Left {
		what = "there is no room for more files, though there is for data"
	}
	return fmt.Sprintf("the file system of %s is full: %s; delete files there, such as by \"docker system prune\" and \"journalctl --vacuum-size=50M\"", e.Path, what)
}

// Unwrap returns ENOSPC.
func (e *Error) Unwrap() error { return unix.ENOSPC }

func kib(bytes int64) int64 { return (bytes + 1023) >> 10 }

// reserveGroup is the group diskreserve, which may use what the file system ROOT keeps back:
// boot/rootfs mounts it so.
const reserveGroup = 240

// Need returns an *Error unless this process can write a number of bytes in the file system of
// a path.
func Need(path string, bytes int64) error {
	s, err := Of(path)
	if err != nil {
		return err
	}
	left := s.Available
	if groups, _ := os.Getgroups(); os.Geteuid() == 0 || slices.Contains(groups, reserveGroup) {
		left = s.Free
	}
	return s.judge(path, left, bytes)
}

// NeedForAll is like Need for every user.
func NeedForAll(path string, bytes int64) error {
	s, err := Of(path)
	if err != nil {
		return err
	}
	return s.judge(path, s.Available, bytes)
}

// fewFiles is the number of files below which a file system has no room for more: each
// program that replaces a file makes one first.
const fewFiles = 16

func (s Space) judge(path string, left, need int64) error {
	switch {
	case left < need:
		return &Error{path, need, left}
	case s.Files < fewFiles && !s.NoLimit:
		return &Error{path, need, need}
	}
	return nil
}
