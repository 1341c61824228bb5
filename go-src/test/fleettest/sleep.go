package fleettest

import (
	"context"
	"time"
)

// sleep waits for a time, or until the context ends. It reports whether the context still
// lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
