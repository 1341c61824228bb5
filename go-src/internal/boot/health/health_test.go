package health

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script writes a shell script and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check")
	writeFile(t, path, "#!/bin/sh\n"+text+"\n", 0o755)
	return path
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestChecksErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "health.d")
	writeFile(t, file, "", 0o755)
	if got, err := Checks([]string{file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRun(t *testing.T) {
	t.Setenv("INHERITED", "1")
	tests := []struct {
		name, text string
		err        string // part of the error
		output     string
	}{
		{"healthy", "exit 0", "", ""},
		{"failure", "echo no docker >&2; exit 3", "exit status 3", "no docker"},
		{"both outputs in order", "echo a; echo b >&2; echo c", "", "a\nb\nc"},
		{"environment", `echo "$INHERITED $COREOS_SLOT_TRIAL"`, "", "1 1"},
		{"killed", "kill -9 $$", "signal: killed", ""},
		{"much output", "echo start; head -c 1000000 /dev/zero | tr '\\0' x", "", "start\n" + strings.Repeat("x", maxOutput-6) + " …"},
		{"output just fits", "head -c 2048 /dev/zero | tr '\\0' x", "", strings.Repeat("x", maxOutput)},
		{"no input", "cat", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			results := Run(context.Background(), []string{script(t, test.text)}, time.Minute, "COREOS_SLOT_TRIAL=1")
			if len(results) != 1 || results[0].Name != "check" || results[0].Output != test.output {
				t.Errorf("got %+v, want output %q", results, test.output)
			}
			err := results[0].Err
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v, want one with %q", err, test.err)
			}
		})
	}
}

func TestRunThatTakesTooLong(t *testing.T) {
	results := Run(context.Background(), []string{script(t, "echo waiting; sleep 600"), script(t, "exit 1")}, 300*time.Millisecond)
	if !results[0].Undecided() || results[0].Output != "waiting" || results[1].Undecided() {
		t.Errorf("got %+v", results)
	}
}

func TestRunThatCannotStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "gone")
	foreign := filepath.Join(t.TempDir(), "foreign")
	writeFile(t, foreign, "\x7fELF, but not really", 0o755)
	results := Run(context.Background(), []string{missing, foreign, script(t, "true")}, time.Minute)
	if len(results) != 3 || !errors.Is(results[0].Err, os.ErrNotExist) || results[1].Err == nil || results[2].Err != nil {
		t.Errorf("got %+v", results)
	}
	if failed := Failed(results); len(failed) != 2 || failed[0].Name != "gone" || failed[1].Name != "foreign" {
		t.Errorf("failed: %+v", failed)
	}
}

func TestRunIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	results := Run(ctx, []string{script(t, "exit 0"), script(t, "exit 0")}, time.Minute)
	if len(Failed(results)) != 2 {
		t.Errorf("got %+v", results)
	}
}

func TestFailedKeepsResults(t *testing.T) {
	bad := errors.New("bad")
	results := []Result{{Name: "a"}, {Name: "b", Err: bad}, {Name: "c"}}
	if failed := Failed(results); len(failed) != 1 || failed[0].Name != "b" {
		t.Errorf("got %+v", failed)
	}
	if results[0].Name != "a" || results[1].Name != "b" || results[2].Name != "c" {
		t.Errorf("the results became %+v", results)
	}
	if failed := Failed(nil); len(failed) != 0 {
		t.Errorf("got %+v", failed)
	}
}
