package cli

import (
	"testing"
	"time"
)

// SetPatience shortens a test.
func SetPatience(t *testing.T, d time.Duration) {
	old := patience
	patience = d
	t.Cleanup(func() { patience = old })
}
