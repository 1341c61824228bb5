// Package health decides whether this machine is healthy: it runs the executables
// of two directories, those of the OS and those of the operator.
package health

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"coreos/internal/host/capture"
	"coreos/internal/host/rundir"
)

// Dirs are the directories of checks: those of the OS, and those of the operator, which
// replace the former by name.
var Dirs = []string{"/usr/lib/coreos/health.d", "/etc/coreos/health.d"}

// maxOutput bounds what is kept of a check's output, in bytes.
const maxOutput = 2048

// Result is the outcome of one check.
type Result struct {
	Name   string
	Err    error  // nil when healthy
	Output string // the start of standard output and standard error
}

// Checks returns the paths of the checks in dirs, in the order of their names. A link to
// nothing counts as a check, which fails.
func Checks(dirs []string) ([]string, error) {
	paths, err := rundir.List(dirs...)
	if err != nil {
		return nil, fmt.Errorf("health checks: %w", err)
	}
	return paths, nil
}

// Run runs the checks one after the other, each for at most timeout, with env
// added to its environment.
func Run(ctx context.Context, paths []string, timeout time.Duration, env ...string) []Result {
	results := make([]Result, 0, len(paths))
	for _, path := range paths {
		out := &capture.Head{Limit: maxOutput}
		err := rundir.Command{Args: []string{path}, Env: env, Limit: timeout, Output: out}.Run(ctx)
		results = append(results, Result{Name: filepath.Base(path), Err: err, Output: out.String()})
	}
	return results
}

// Undecided reports whether the check did not end in its time, as on a machine that is slow.
func (r Result) Undecided() bool { return errors.Is(r.Err, rundir.ErrLimit) }

// Failed returns the results of the checks that failed.
func Failed(results []Result) []Result {
	return slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Err == nil })
}
