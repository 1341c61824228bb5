// Package rundir finds and runs the executables of directories, such as health checks and
// the hooks before a restart.
package rundir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// List returns the paths of the executables of directories, in the order of their names. As
// with systemd's units, a file in /etc replaces the one of the same name in /usr: of two
// files with one name the one in the later directory counts, even if it is not an
// executable, such as a link to /dev/null. Hidden files are left out. A link to a file that
// does not exist is in the list, so that running it fails and is seen. Directories may be
// missing.
func List(dirs ...string) ([]string, error) {
	byName := map[string]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				byName[entry.Name()] = filepath.Join(dir, entry.Name())
			}
		}
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		path := byName[name]
		if info, err := os.Stat(path); err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
			continue
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// Command is how an executable is run.
type Command struct {
	// Args are the executable and its arguments. A program that launches it can come first.
	Args []string
	// Env is added to the environment.
	Env []string
	// Limit is how long it may take. It is killed then, with the processes it started.
	Limit time.Duration
	// Output takes standard output and standard error.
	Output io.Writer
}

// ErrLimit says that an executable was killed at its limit: what it would have said is not
// known.
var ErrLimit = errors.New("not done")

// outputWait is how long the output of an executable that has ended is still read, if a
// process that it left running keeps the output open.
const outputWait = time.Second

// Run runs the command to its end. It succeeds if the executable does, whatever that
// leaves running.
func (c Command) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	command := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	command.Env = append(os.Environ(), c.Env...)
	command.Stdout, command.Stderr = c.Output, c.Output
	// A process group of its own, so that the signal reaches all that it started.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = outputWait
	err := command.Run()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		return nil
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w within %s", ErrLimit, c.Limit)
	}
	return err
}
