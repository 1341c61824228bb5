// Package hooks runs the hooks with which an operator drains a machine before it
// restarts: the executables in /usr/lib/coreos/pre-reboot.d, which the system has, and in
// /etc/coreos/pre-reboot.d, in the order of their names, each with the argument "reboot".
// A file in /etc replaces the one of the same name in /usr, also if it cannot be run, such
// as a link to /dev/null. If the machine does not restart after all, the hooks run with
// the argument "cancel".
package hooks

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"coreos/internal/host/capture"
	"coreos/internal/host/rundir"
)

// Dirs are the directories of the hooks. A file in a later one replaces the one of the same
// name in an earlier one.
var Dirs = []string{"/usr/lib/coreos/pre-reboot.d", "/etc/coreos/pre-reboot.d"}

// Hooks are the hooks in directories.
type Hooks struct {
	Dirs []string
	// Limit is how long each of them may take.
	Limit time.Duration
	// Launch is a command that runs its arguments, such as Outside returns. It is nil to run
	// them directly.
	Launch []string
}

// Outside returns a command for Launch with which hooks run outside of the caller's sandbox, which
// the operator who writes them does not know. systemd ends a hook at the limit.
func Outside(limit time.Duration) []string {
	return []string{"systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--property=RuntimeMaxSec=" + limit.String(), "--"}
}

// Run runs the hooks with an argument, one after the other, up to the first that fails. A
// link to nothing is no hook.
func (h Hooks) Run(ctx context.Context, argument string) error {
	paths, err := rundir.List(h.Dirs...)
	if err != nil {
		return fmt.Errorf("hooks: %w", err)
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			slog.Warn("a hook is left out", "error", err)
			continue
		}
		if err := h.run(ctx, path, argument); err != nil {
			return fmt.Errorf("hook %s: %w", path, err)
		}
	}
	return nil
}

// maxTail is how many bytes of a hook's output are shown.
const maxTail = 400

func (h Hooks) run(ctx context.Context, path, argument string) error {
	output := &capture.Tail{Limit: maxTail}
	start := time.Now()
	command := rundir.Command{Args: append(slices.Clone(h.Launch), path, argument), Limit: h.Limit, Output: output}
	err := command.Run(ctx)
	slog.Info("hook", "path", path, "argument", argument, "took", time.Since(start).Round(time.Millisecond), "error", err, "output", output.String())
	if err != nil {
		return fmt.Errorf("%w: %s", err, output.String())
	}
	return nil
}
