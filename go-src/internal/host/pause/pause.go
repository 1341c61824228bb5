// Package pause waits.
package pause

import (
	"context"
	"time"
)

// For waits for a time, or until the context ends, and reports whether the context still
// lives.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
