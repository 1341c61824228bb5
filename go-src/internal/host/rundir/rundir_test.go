package rundir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestList(t *testing.T) {
	usr, etc := t.TempDir(), t.TempDir()
	for _, name := range []string{"10-units", "20-docker", "30-network", "40-disk", "50-time", ".hidden"} {
		write(t, filepath.Join(usr, name), "", 0o755)
	}
	write(t, filepath.Join(usr, "README"), "", 0o644)
	write(t, filepath.Join(etc, "05-own"), "", 0o700)
	write(t, filepath.Join(etc, "20-docker"), "", 0o755)
	write(t, filepath.Join(etc, "50-time"), "", 0o644) // replaces, and is no executable
	err := errors.Join(
		os.Mkdir(filepath.Join(etc, "15-directory"), 0o755),
		os.Symlink("/dev/null", filepath.Join(etc, "30-network")),
		os.Symlink("10-units", filepath.Join(usr, "60-link")),
		os.Symlink("gone", filepath.Join(usr, "70-dangling")),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		filepath.Join(etc, "05-own"), filepath.Join(usr, "10-units"), filepath.Join(etc, "20-docker"),
		filepath.Join(usr, "40-disk"), filepath.Join(usr, "60-link"), filepath.Join(usr, "70-dangling"),
	}
	got, err := List(usr, filepath.Join(usr, "missing"), etc)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := List(want[0]); err == nil || !strings.Contains(err.Error(), want[0]) {
		t.Errorf("of a file: got %q, %v", got, err)
	}
}

func TestRun(t *testing.T) {
	t.Setenv("INHERITED", "1")
	for _, test := range []struct{ name, text, err, output string }{
		{"succeeds", `echo "$INHERITED $ADDED $1"`, "", "1 2 x\n"},
		{"fails", "echo out; echo err >&2; exit 3", "exit status 3", "out\nerr\n"},
		{"is killed", "kill -9 $$", "signal: killed", ""},
		{"has no input", "cat", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "program"), "#!/bin/sh\n"+test.text+"\n", 0o755)
			var out strings.Builder
			err := Command{Args: []string{path, "x"}, Env: []string{"ADDED=2"}, Limit: time.Minute, Output: &out}.Run(t.Context())
			if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err || out.String() != test.output {
				t.Errorf("got %q, %v", out.String(), err)
			}
		})
	}
	if err := (Command{Args: []string{"/gone"}, Limit: time.Minute}).Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a program that is not there: %v", err)
	}
}

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); n != 1 {
		_ = unix.Kill(pid, unix.SIGKILL)
		t.Errorf("process %d still runs (%v)", pid, err)
	}
}

// firstLine hands on the first line that is written to it.
type firstLine chan string

func (f firstLine) Write(b []byte) (int, error) {
	select {
	case f <- string(b):
	default:
	}
	return len(b), nil
}

// TestLimit runs a shell that waits for a child: both are killed.
func TestLimit(t *testing.T) {
	line := make(firstLine, 1)
	err := Command{Args: []string{"sh", "-c", "sleep 1000 & echo $!; wait"}, Limit: time.Second, Output: line}.Run(t.Context())
	if err == nil || err.Error() != "not done within 1s" {
		t.Errorf("error %v", err)
	}
	select {
	case text := <-line:
		child, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		gone(t, child)
	default:
		t.Skip("the shell did not get as far as starting its child")
	}
}

// TestLeftRunning leaves a process that keeps the output open.
func TestLeftRunning(t *testing.T) {
	line := make(firstLine, 1)
	if err := (Command{Args: []string{"sh", "-c", "sleep 1000 & echo $!"}, Limit: time.Minute, Output: line}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(<-line))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Command{Args: []string{"true"}, Limit: time.Minute}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
