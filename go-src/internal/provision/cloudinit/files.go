package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/google/renameio/v2"
)

// tree is the root directory of the system that is configured. Symbolic links do not lead
// out of it.
type tree string

// resolve returns the real path of a path in the system. It does not resolve the last part.
func (t tree) resolve(path string) (string, error) {
	dir, err := securejoin.SecureJoin(string(t), filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// file describes a file to write.
type file struct {
	path     string
	data     []byte
	mode     uint32 // as for chmod(1)
	uid, gid int
}

// goMode converts a mode to that of the standard library.
func goMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

// write writes a file atomically and durably, with the directories above it. It reports
// false if the file exists as described.
func (t tree) write(f file) (changed bool, err error) {
	path, err := t.resolve(f.path)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.path, err)
	}
	if t.is(path, f) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("write %s: %w", f.path, err)
	}
	pending, err := renameio.NewPendingFile(path)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.path, err)
	}
	defer func() { _ = pending.Cleanup() }()
	_, err = pending.Write(f.data)
	// The owner is set first, since chown clears set-id bits.
	err = errors.Join(err, pending.Chown(f.uid, f.gid), pending.Chmod(goMode(f.mode)))
	if err == nil {
		err = pending.CloseAtomicallyReplace()
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.path, err)
	}
	return true, nil
}

// is reports whether a file exists as described.
func (t tree) is(path string, f file) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != goMode(f.mode) || info.Size() != int64(len(f.data)) {
		return false
	}
	if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != f.uid || int(owner.Gid) != f.gid {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && bytes.Equal(data, f.data)
}

// read returns the content of a file, nothing if it does not exist.
func (t tree) read(path string) ([]byte, error) {
	path, err := securejoin.SecureJoin(string(t), path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// exists reports whether there is something at a path.
func (t tree) exists(path string) bool {
	at, err := securejoin.SecureJoin(string(t), path)
	if err != nil {
		return false
	}
	_, err = os.Stat(at)
	return err == nil
}

// names returns the names in a directory, none if it does not exist.
func (t tree) names(dir string) ([]string, error) {
	at, err := securejoin.SecureJoin(string(t), dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// remove removes the file or the empty directory at a path.
func (t tree) remove(path string) (changed bool, err error) {
	at, err := t.resolve(path)
	if err != nil {
		return false, err
	}
	return true, os.Remove(at)
}

// link makes a symbolic link. It replaces any file, but no directory.
func (t tree) link(target, path string) (changed bool, err error) {
	at, err := t.resolve(path)
	if err != nil {
		return false, fmt.Errorf("link %s: %w", path, err)
	}
	if is, err := os.Readlink(at); err == nil && is == target {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return false, fmt.Errorf("link %s: %w", path, err)
	}
	if err := renameio.Symlink(target, at); err != nil {
		return false, fmt.Errorf("link %s: %w", path, err)
	}
	return true, nil
}

// unlink removes a path if it is a symbolic link to target.
func (t tree) unlink(target, path string) (changed bool, err error) {
	at, err := t.resolve(path)
	if err != nil {
		return false, err
	}
	if is, err := os.Readlink(at); err != nil || is != target {
		return false, nil
	}
	return true, os.Remove(at)
}

// ownDirectory makes a directory with mode 0700 that belongs to an account, in an existing
// directory.
func (t tree) ownDirectory(path string, uid, gid int) error {
	at, err := t.resolve(path)
	if err != nil {
		return err
	}
	err = os.Mkdir(at, 0o700)
	switch {
	case err == nil:
		return os.Chown(at, uid, gid)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	info, err := os.Lstat(at)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", path)
	}
	return err
}
