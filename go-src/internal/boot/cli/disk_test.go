package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"coreos/internal/host/storage"
)

// TestTakeNote has the timer look again and again.
func TestTakeNote(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk")
	problem := func(kind storage.Kind, where, text string) storage.Problem {
		return storage.Problem{Kind: kind, Where: where, Text: text}
	}
	low, lower := problem(storage.Low, "/", "almost full: 900"), problem(storage.Low, "/", "almost full: 800")
	full, readOnly := problem(storage.Full, "/", "full: 3"), problem(storage.ReadOnly, "/var", "read-only: x")
	for i, step := range []struct {
		problems []storage.Problem
		journal  string
		over     bool
	}{
		{nil, "", false},
		{[]storage.Problem{low}, "<4>/ is almost full: 900\n", false},
		{[]storage.Problem{lower}, "", false},
		{[]storage.Problem{full, readOnly}, "<4>/ is full: 3\n<4>/var is read-only: x\n", false},
		{[]storage.Problem{readOnly}, "", false},
		{nil, "<5>/, /etc and /var can be written and have room again\n", true},
		{nil, "", false},
	} {
		var journal bytes.Buffer
		over := false
		if err := takeNote(&journal, file, step.problems, func() error { over = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if journal.String() != step.journal || over != step.over {
			t.Errorf("step %d: over is %t, journal %q", i, over, &journal)
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != storage.Text(step.problems) {
			t.Errorf("step %d: the note is %q, %v", i, text, err)
		}
	}
	failed := errors.New("no systemd")
	if err := os.WriteFile(file, []byte("/ is full: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := takeNote(new(bytes.Buffer), file, nil, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if err := takeNote(new(bytes.Buffer), t.TempDir(), nil, nil); err == nil {
		t.Error("a directory was read")
	}
}
