package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"coreos/internal/update/config"
	"coreos/internal/update/status"
)

// A person's command comes after a check or a report that goes on. It is refused during an
// installation.
func TestBegin(t *testing.T) {
	e := New(&config.Config{}, nil, nil, t.TempDir(), "boot", func(status.Status) {})
	if err := e.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	for _, operation := range []status.Operation{status.Idle, status.Checking, status.Reporting, status.NeedReboot} {
		e.change(func(s *status.Status) { s.Operation = operation })
		if err := e.begin(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", operation, err)
		}
	}
	for _, operation := range []status.Operation{status.Available, status.Downloading, status.Verifying, status.Finalizing} {
		e.change(func(s *status.Status) { s.Operation = operation })
		if err := e.begin(t.Context()); !errors.Is(err, status.ErrBusy) {
			t.Errorf("%s: error %v", operation, err)
		}
	}

	e.change(func(s *status.Status) { s.Operation = status.Checking })
	began := make(chan error)
	go func() { began <- e.begin(t.Context()) }()
	select {
	case err := <-began:
		t.Fatalf("two pieces of work at once, error %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	e.finish()
	if err := <-began; err != nil {
		t.Error(err)
	}
}
