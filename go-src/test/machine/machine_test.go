package machine

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// broken is hardware that can be switched on once.
type broken struct {
	hardware // nil: nothing else is called
	on       chan struct{}
	started  bool
	scrapped bool
}

func (b *broken) powerOn(io.Writer) (power, error) {
	if b.started {
		return nil, errors.New("no address left")
	}
	b.started = true
	return b, nil
}

func (b *broken) cut() {}

func (b *broken) wait() (restart bool) {
	<-b.on
	return true
}

func (b *broken) scrap() { b.scrapped = true }

// TestRestartFails restarts a machine that cannot be switched on again, and ends it.
func TestRestartFails(t *testing.T) {
	console, err := newConsole(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	b := &broken{on: make(chan struct{})}
	m := &Machine{Console: console, hardware: b, exited: make(chan struct{})}
	if err := m.powerOn(); err != nil {
		t.Fatal(err)
	}
	go m.keepOn()
	close(b.on)
	if err := m.WaitOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Cut()
	if text := console.Text(0); !strings.Contains(text, "the machine does not restart: no address left") || !b.scrapped {
		t.Errorf("scrapped %t, console: %s", b.scrapped, text)
	}
}
