package daemon

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/renameio/v2"
)

// TestWatch creates and replaces a file as the daemon does with the file of the lease.
func TestWatch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet", "lease")
	changed, err := watch(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1", "2"} {
		if err := renameio.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing is told of %s", text)
		}
	}
}
