package coordinator

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCoordinator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "coordinator.conf")
	c, err := New(path, "locksmithd", "etcd-lock")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(path, "other", "reboot"); !errors.Is(err, ErrTaken) {
		t.Errorf("a second coordinator: %v", err)
	}
	for _, state := range []State{RebootPlanned, Running} {
		if err := c.Set(state); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if want := "NAME=locksmithd\nSTRATEGY=etcd-lock\nSTATE=" + string(state) + "\n"; err != nil || string(text) != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = New(path, "other", "reboot"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
