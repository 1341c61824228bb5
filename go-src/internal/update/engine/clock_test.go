package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"coreos/internal/update/repository"
)

// The build of the system and the last time of a time server have passed, whatever the clock
// says.
func TestClock(t *testing.T) {
	for name, path := range map[string]string{"build": RootFile, "time server": clockFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish("1.1.0", "")
			d := w.machine()
			path = filepath.Join(w.dir, "fs", path)
			w.must(os.MkdirAll(filepath.Dir(path), 0o755))
			if _, err := os.Stat(path); err != nil {
				w.must(os.WriteFile(path, nil, 0o644))
			}
			later := time.Now().Add(15 * 24 * time.Hour) // the clock is behind
			w.must(os.Chtimes(path, later, later))
			if _, err := d.Attempt(context.Background(), true); !errors.Is(err, repository.ErrExpired) {
				t.Errorf("error %v", err)
			}
		})
	}
}
