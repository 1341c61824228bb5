// Package hooks runs the hooks by which an operator has a machine drained before a
// restart: the programs in /etc/coreos/pre-reboot.d, and those that the system has in
// /usr/lib/coreos/pre-reboot.d, in the order of their names, each with the argument
// "reboot". Of two with one name that in /etc counts, also if it cannot be run, such as a
// link to /dev/null. If there is no restart after all, they are run with "cancel".
package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dirs are the directories of the hooks. The first that has a name counts.
var Dirs = []string{"/etc/coreos/pre-reboot.d", "/usr/lib/coreos/pre-reboot.d"}

// Hooks are the hooks in directories.
type Hooks struct {
	Dirs []string
	// Limit is how long each of them may take.
	Limit time.Duration
	// Launch is a command that runs what follows it, such as systemd-run with its
	// options, by which hooks get out of the caller's sandbox; nil to run them directly.
	Launch []string
}

// Run runs the hooks with an argument, to the first that fails.
func (h Hooks) Run(ctx context.Context, argument string) error {
	paths, err := h.paths()
	if err != nil {
		return err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue // a README, an editor's copy, a hook that was switched off
		}
		if err := h.run(ctx, path, argument); err != nil {
			return fmt.Errorf("hook %s: %w", path, err)
		}
	}
	return nil
}

// paths are those of the files in the directories, one of a name.
func (h Hooks) paths() ([]string, error) {
	byName := map[string]string{}
	for _, dir := range slices.Backward(h.Dirs) {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			byName[entry.Name()] = filepath.Join(dir, entry.Name())
		}
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		paths = append(paths, byName[name])
	}
	return paths, nil
}

// maxTail bounds what is shown of a hook's output, in bytes.
const maxTail = 400

func (h Hooks) run(ctx context.Context, path, argument string) error {
	ctx, cancel := context.WithTimeout(ctx, h.Limit)
	defer cancel()
	words := append(slices.Clone(h.Launch), path, argument)
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	// A hook that is out of time ends with all that it started.
	command.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	var output tail
	command.Stdout, command.Stderr = &output, &output
	start := time.Now()
	err := command.Run()
	slog.Info("hook", "path", path, "argument", argument, "took", time.Since(start).Round(time.Millisecond), "error", err, "output", output.String())
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return fmt.Errorf("not done within %s", h.Limit)
	case err != nil:
		return fmt.Errorf("%w: %s", err, output.String())
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b[max(0, len(b)-maxTail):]...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(b), nil
}

func (t *tail) String() string {
	return strings.ToValidUTF8(string(bytes.TrimSpace(t.text)), "?")
}
