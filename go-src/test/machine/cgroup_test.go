package machine

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOwnDirectory checks that the directory of a run that goes on is kept, with its
// subdirectories, and that the directory of a killed run is removed.
func TestOwnDirectory(t *testing.T) {
	in := t.TempDir()
	running, err := ownDirectory(in, "test-")
	if err != nil {
		t.Fatal(err)
	}
	below, killed, other := filepath.Join(running.Name(), "m1"), filepath.Join(in, "test-killed"), filepath.Join(in, "other")
	for _, dir := range []string{below, filepath.Join(killed, "m1/init.scope"), other} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	second, err := ownDirectory(in, "test-")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{below, other, second.Name()} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(killed); !os.IsNotExist(err) {
		t.Errorf("the directory of a run that was killed is left: %v", err)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	if third, err := ownDirectory(in, "test-"); err != nil {
		t.Error(err)
	} else if _, err := os.Stat(below); !os.IsNotExist(err) {
		t.Errorf("the directory of a run that has ended is left beside %s: %v", third.Name(), err)
	}
}
