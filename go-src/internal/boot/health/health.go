// Package health decides whether this machine is healthy: it runs the executables
// of two directories, those of the OS and those of the operator.
package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// Dirs are the directories of checks. As with systemd's units, a file in the
// second hides one of the same name in the first; a link to /dev/null switches a
// check off.
var Dirs = []string{"/usr/lib/coreos/health.d", "/etc/coreos/health.d"}

// maxOutput bounds what is kept of a check's output, in bytes.
const maxOutput = 2048

// waitDelay is for what a check left running to close its output.
const waitDelay = time.Second

// Result is the outcome of one check.
type Result struct {
	Name   string
	Err    error  // nil when healthy
	Output string // standard output and error of the check, shortened
}

// Checks returns the paths of the checks in dirs, in the order of their names.
func Checks(dirs []string) ([]string, error) {
	byName := map[string]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("health checks: %w", err)
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				byName[entry.Name()] = filepath.Join(dir, entry.Name())
			}
		}
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		target, err := os.Stat(byName[name])
		if err == nil && (!target.Mode().IsRegular() || target.Mode()&0o111 == 0) {
			continue // switched off, or not a check
		}
		paths = append(paths, byName[name])
	}
	return paths, nil
}

// Run runs the checks one after the other, each for at most timeout, with env
// added to its environment.
func Run(ctx context.Context, paths []string, timeout time.Duration, env ...string) []Result {
	results := make([]Result, 0, len(paths))
	for _, path := range paths {
		results = append(results, runOne(ctx, path, timeout, env))
	}
	return results
}

func runOne(ctx context.Context, path string, timeout time.Duration, env []string) Result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var out output
	command := exec.CommandContext(ctx, path)
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = &out, &out
	// A group of its own, so that the time limit ends all that the check started.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = waitDelay
	err := command.Run()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it succeeded, and something that it left running has its output open
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v", timeout)
	}
	return Result{Name: filepath.Base(path), Err: err, Output: out.String()}
}

// output keeps the start of what is written to it.
type output struct {
	kept bytes.Buffer
	cut  bool
}

func (o *output) Write(b []byte) (int, error) {
	room := maxOutput - o.kept.Len()
	o.cut = o.cut || len(b) > room
	o.kept.Write(b[:min(len(b), room)])
	return len(b), nil
}

func (o *output) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(o.kept.String(), ""))
	if o.cut {
		text += " …"
	}
	return text
}

// Failed returns the results of the checks that failed.
func Failed(results []Result) []Result {
	return slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Err == nil })
}
