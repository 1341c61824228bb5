package bus

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// reading is an update-engine that tells what it reads of a bundle.
type reading struct{ Engine }

func (reading) ApplyOpenBundle(_ context.Context, file *os.File, path string) error {
	text, err := io.ReadAll(file)
	return fmt.Errorf("%s has %q, error %v", filepath.Base(path), text, err)
}

// TestApplyBundle hands a file over to update-engine by its open description.
func TestApplyBundle(t *testing.T) {
	address := startBus(t)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := Export(ctx, connect(t, address), reading{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.bundle")
	if err := os.WriteFile(path, []byte("a bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := NewClient(connect(t, address))
	if err := c.ApplyBundle(ctx, path); err == nil || !strings.Contains(err.Error(), `x.bundle has "a bundle"`) {
		t.Errorf("error %v", err)
	}
	if err := c.ApplyBundle(ctx, path+".none"); err == nil || !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}
