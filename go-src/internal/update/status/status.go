// Package status has what update-engine tells of itself: the daemon fills it, its D-Bus
// clients read it. It needs nothing of the engine, so that a client links no code that
// installs updates.
package status

import (
	"errors"
	"time"
)

// ErrBusy is the daemon's answer to a command that cannot be served while an update is
// being installed.
var ErrBusy = errors.New("an update is under way")

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
	// NewNotes are the release notes of NewVersion, as soon as its manifest was read.
	NewNotes string `json:"new_version_notes,omitempty"`
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
