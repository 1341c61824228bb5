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
	"golang.org/x/sys/unix"

	"coreos/internal/host/bounded"
)

// tree is the root directory of the system that is configured. Symbolic links do not lead
// out of it.
type tree string

// at calls a function with the path of a file in an open directory of the system, which may
// be a symbolic link. It makes the directories above it if it has to.
func (t tree) at(path string, make bool, do func(at string) (bool, error)) (bool, error) {
	dir, err := t.open(filepath.Dir(path), make)
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	return do(within(dir, filepath.Base(path)))
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
	changed, err = t.at(f.path, true, func(at string) (bool, error) {
		if is(at, f) {
			return false, nil
		}
		return true, replace(at, f)
	})
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.path, err)
	}
	return changed, nil
}

func replace(path string, f file) error {
	pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }()
	_, err = pending.Write(f.data)
	// The owner is set first, since chown clears set-id bits.
	err = errors.Join(err, pending.Chown(f.uid, f.gid), pending.Chmod(goMode(f.mode)))
	if err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}

// openRegular opens a regular file for reading. It follows no symbolic link to it, and does not
// wait for a pipe: the file may be in a directory of a user.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// is reports whether a file exists as described.
func is(path string, f file) bool {
	file, info, err := openRegular(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	if info.Mode() != goMode(f.mode) || info.Size() != int64(len(f.data)) {
		return false
	}
	if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != f.uid || int(owner.Gid) != f.gid {
		return false
	}
	data, err := bounded.Read(file, int64(len(f.data)))
	return err == nil && bytes.Equal(data, f.data)
}

// readOfUser returns the content of a regular file in a directory of a user, or
// bounded.ErrTooLarge. The links of users do not decide what root reads.
func (t tree) readOfUser(path string, most int64) (data []byte, err error) {
	_, err = t.at(path, false, func(at string) (bool, error) {
		file, _, err := openRegular(at)
		if err != nil {
			return false, err
		}
		defer func() { _ = file.Close() }()
		data, err = bounded.Read(file, most)
		return false, err
	})
	return data, err
}

// read returns the content of a file in a directory of root, nothing if it does not exist.
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
	return t.at(path, false, func(at string) (bool, error) { return true, os.Remove(at) })
}

// link makes a symbolic link. It replaces any file, but no directory.
func (t tree) link(target, path string) (changed bool, err error) {
	changed, err = t.at(path, true, func(at string) (bool, error) {
		if is, err := os.Readlink(at); err == nil && is == target {
			return false, nil
		}
		return true, renameio.Symlink(target, at)
	})
	if err != nil {
		return false, fmt.Errorf("link %s: %w", path, err)
	}
	return changed, nil
}

// unlink removes a path if it is a symbolic link to target.
func (t tree) unlink(target, path string) (changed bool, err error) {
	changed, err = t.at(path, false, func(at string) (bool, error) {
		if is, err := os.Readlink(at); err != nil || is != target {
			return false, nil
		}
		return true, os.Remove(at)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return changed, err
}

// ownDirectory makes a directory with mode 0700 that belongs to an account, in an existing
// directory.
func (t tree) ownDirectory(path string, uid, gid int) error {
	_, err := t.at(path, false, func(at string) (bool, error) {
		err := makeOwn(at, uid, gid)
		if !errors.Is(err, fs.ErrExist) {
			return true, err
		}
		info, err := os.Lstat(at)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", path)
		}
		return false, err
	})
	return err
}

// makeOwn makes a directory as the account. In a directory in which only root can rename,
// where the account may be unable to, root makes it.
func makeOwn(at string, uid, gid int) error {
	above, err := os.Stat(filepath.Dir(at))
	if err != nil {
		return err
	}
	if above.Sys().(*syscall.Stat_t).Uid == 0 && above.Mode().Perm()&0o022 == 0 {
		if err := os.Mkdir(at, 0o700); err != nil {
			return err
		}
		return os.Lchown(at, uid, gid)
	}
	return asUser(uid, gid, func() error { return os.Mkdir(at, 0o700) })
}
