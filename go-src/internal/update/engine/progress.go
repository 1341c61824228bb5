package engine

import (
	"time"

	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

// clock estimates the remaining time of a download from its average speed.
type clock struct {
	started time.Time
	from    int64
}

func (c *clock) left(now time.Time, fetched, total int64) time.Duration {
	if c.started.IsZero() {
		c.started, c.from = now, fetched
	}
	seconds, done := now.Sub(c.started).Seconds(), fetched-c.from
	if seconds < 1 || done <= 0 || fetched >= total {
		return 0
	}
	return time.Duration(float64(total-fetched) / (float64(done) / seconds) * float64(time.Second)).Round(time.Second)
}

// operationOf returns the operation for the state of an installation.
func operationOf(state slotwriter.State) status.Operation {
	return map[slotwriter.State]status.Operation{slotwriter.Downloading: status.Downloading, slotwriter.Verifying: status.Verifying, slotwriter.Finalizing: status.Finalizing}[state]
}
