package privsep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"coreos/internal/host/bounded"
)

// Copies is a directory with copies of files that a daemon needs and that its user may not read, such
// as keys that belong to root. A process of root makes them before the daemon starts. The directory
// belongs to the daemon's user.
type Copies string

// maxCopy is the size limit of a file in bytes.
const maxCopy = 1 << 20

// Make copies files into the directory, readable by its owner alone, and removes what was there. A
// path that is empty and a file that does not exist are left out: the daemon says what it lacks.
func (c Copies) Make(paths ...string) error {
	info, err := os.Stat(string(c))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the owner of %s is not known", string(c))
	}
	entries, err := os.ReadDir(string(c))
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(string(c), entry.Name())))
	}
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := c.copy(path, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("copy for the daemon's user: %w", err)
		}
	}
	return nil
}

func (c Copies) copy(path string, uid, gid int) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	text, err := bounded.ReadFile(path, maxCopy)
	if err != nil {
		return err
	}
	to, err := renameio.NewPendingFile(c.name(path), renameio.WithTempDir(string(c)), renameio.WithStaticPermissions(0o400))
	if err != nil {
		return err
	}
	defer func() { _ = to.Cleanup() }()
	if _, err := to.Write(text); err != nil {
		return err
	}
	if err := to.Chown(uid, gid); err != nil {
		return err
	}
	return to.CloseAtomicallyReplace()
}

func (c Copies) name(path string) string {
	return filepath.Join(string(c), strings.ReplaceAll(strings.Trim(filepath.Clean(path), "/"), "/", "-"))
}

// Find returns the path under which this process can read a file: its own, or that of its copy.
func (c Copies) Find(path string) string {
	file, err := os.Open(path)
	if err == nil {
		_ = file.Close()
	}
	if !errors.Is(err, fs.ErrPermission) {
		return path
	}
	copied, err := os.Open(c.name(path))
	if err != nil {
		return path
	}
	_ = copied.Close()
	return c.name(path)
}
