package engine

import (
	"time"

	"coreos/internal/update/slotwriter"
)

// Operation is what the engine is doing, in the words of upstream's D-Bus interface.
type Operation string

// The operations.
const (
	Idle        Operation = "UPDATE_STATUS_IDLE"
	Checking    Operation = "UPDATE_STATUS_CHECKING_FOR_UPDATE"
	Available   Operation = "UPDATE_STATUS_UPDATE_AVAILABLE"
	Downloading Operation = "UPDATE_STATUS_DOWNLOADING"
	Verifying   Operation = "UPDATE_STATUS_VERIFYING"
	Finalizing  Operation = "UPDATE_STATUS_FINALIZING"
	NeedReboot  Operation = "UPDATE_STATUS_UPDATED_NEED_REBOOT"
	Reporting   Operation = "UPDATE_STATUS_REPORTING_ERROR_EVENT"
)

// Status is what the engine tells of itself.
type Status struct {
	// Version runs; Proven tells whether it was found to be healthy.
	Version string `json:"version"`
	Proven  bool   `json:"proven"`

	LastChecked time.Time `json:"last_checked_time,omitzero"`
	Operation   Operation `json:"current_op"`
	NewVersion  string    `json:"new_version,omitempty"`
	// Fetched of Total bytes came from the server.
	Fetched int64 `json:"fetched"`
	Total   int64 `json:"total"`
	// Left is an estimate, 0 when there is nothing to base one on.
	Left time.Duration `json:"time_left_ns"`
	// LastError says why there is no update, or why the last attempt failed.
	LastError string `json:"last_error,omitempty"`
	// Refused are versions that were rolled back here, with the reasons.
	Refused map[string]string `json:"refused_versions,omitempty"`
}

// Progress is between 0 and 1.
func (s Status) Progress() float64 {
	if s.Total <= 0 {
		return 0
	}
	return min(1, float64(s.Fetched)/float64(s.Total))
}

// clock estimates how long a download will take, from its average speed.
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

// operationOf is an installation's state as an operation.
func operationOf(state slotwriter.State) Operation {
	return map[slotwriter.State]Operation{slotwriter.Downloading: Downloading, slotwriter.Verifying: Verifying, slotwriter.Finalizing: Finalizing}[state]
}
