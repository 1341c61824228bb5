package cloudinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may have, as in the kernel.
const maxLinks = 40

// errForeignLink says that a path has a symbolic link that is not root's.
var errForeignLink = errors.New("is a symbolic link of another user, which root does not follow")

// walk is the way to a directory of a tree: an open directory for each part of it, the root
// directory first. Each step begins at an open directory, so nobody who may rename or
// replace what is on the way can lead it elsewhere.
type walk struct {
	dirs  []*os.File
	links int
	make  bool // directories that are missing
}

// open opens a directory of the tree, with O_PATH. It follows the symbolic links of root
// only: what others put into their directories does not decide where root writes.
func (t tree) open(dir string, make bool) (*os.File, error) {
	root, err := openAt(nil, string(t), 0)
	if err != nil {
		return nil, err
	}
	w := &walk{dirs: []*os.File{root}, make: make}
	err = w.to(dir)
	last := w.dirs[len(w.dirs)-1]
	for _, d := range w.dirs {
		if err != nil || d != last {
			_ = d.Close()
		}
	}
	return last, err
}

// openAt opens a directory, or what else a name stands for, relative to another one.
func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	at := unix.AT_FDCWD
	if dir != nil {
		at = int(dir.Fd())
	}
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (w *walk) to(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if err := w.step(part); err != nil {
			return err
		}
	}
	return nil
}

// step goes to a part of a path. ".." in the root directory stays there.
func (w *walk) step(part string) error {
	here := w.dirs[len(w.dirs)-1]
	switch part {
	case "", ".":
		return nil
	case "..":
		if len(w.dirs) > 1 {
			_ = here.Close()
			w.dirs = w.dirs[:len(w.dirs)-1]
		}
		return nil
	}
	next, err := openAt(here, part, unix.O_NOFOLLOW)
	if w.make && errors.Is(err, unix.ENOENT) {
		if err := unix.Mkdirat(int(here.Fd()), part, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "mkdir", Path: part, Err: err}
		}
		next, err = openAt(here, part, unix.O_NOFOLLOW)
	}
	if err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(next.Fd()), &stat); err != nil {
		return errors.Join(err, next.Close())
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		w.dirs = append(w.dirs, next)
		return nil
	case unix.S_IFLNK:
		defer func() { _ = next.Close() }()
		return w.follow(next, part, int(stat.Uid))
	}
	return errors.Join(&os.PathError{Op: "open", Path: part, Err: unix.ENOTDIR}, next.Close())
}

// follow goes where a symbolic link leads.
func (w *walk) follow(link *os.File, name string, owner int) error {
	if owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s %w", name, errForeignLink)
	}
	if w.links++; w.links > maxLinks {
		return &os.PathError{Op: "open", Path: name, Err: unix.ELOOP}
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", target)
	if err != nil {
		return &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	if filepath.IsAbs(string(target[:n])) {
		for _, dir := range w.dirs[1:] {
			_ = dir.Close()
		}
		w.dirs = w.dirs[:1]
	}
	return w.to(string(target[:n]))
}

// within returns a path of a name in an open directory that stays valid whatever is renamed.
func within(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// asUser runs a function in a thread whose access to files is that of a user without further
// groups. What it makes belongs to the user.
func asUser(uid, gid int, do func() error) error {
	if uid == os.Geteuid() {
		return do()
	}
	done := make(chan error)
	go func() {
		// The thread is never unlocked, so it ends with this function.
		runtime.LockOSThread()
		done <- func() error {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
				return fmt.Errorf("give up groups: %w", errno)
			}
			if _, err := unix.SetfsgidRetGid(gid); err != nil {
				return err
			}
			if _, err := unix.SetfsuidRetUid(uid); err != nil {
				return err
			}
			// They say nothing when they fail.
			if now, err := unix.SetfsuidRetUid(-1); err != nil || now != uid {
				return fmt.Errorf("become user %d: it is user %d, %w", uid, now, err)
			}
			return do()
		}()
	}()
	return <-done
}
