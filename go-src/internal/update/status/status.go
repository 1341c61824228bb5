// Package status defines the status of update-engine. The daemon fills it and the D-Bus
// clients read it. It imports nothing of the engine, so that a client does not link the
// code that installs updates.
package status

import (
	"errors"
	"time"
)

// ErrBusy is the daemon's answer to a command that is not possible during an installation.
var ErrBusy = errors.New("an update is being installed")

// Operation is what the engine is doing, by the names of upstream's D-Bus interface.
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

// Reasons in Refused, other than those of a slot (package slot).
const (
	// NotFollowed: the boot loader did not start the slot with the version.
	NotFollowed = "loader-did-not-follow"
	// SetAside: somebody chose the other slot. The version has not failed.
	SetAside = "set-aside-by-hand"
)

// Status is the status of the engine.
type Status struct {
	// Version is the running version. Proven says whether it was found healthy.
	Version string `json:"version"`
	Proven  bool   `json:"proven"`

	LastChecked time.Time `json:"last_checked_time,omitzero"`
	Operation   Operation `json:"current_op"`
	NewVersion  string    `json:"new_version,omitempty"`
	// NewNotes are the release notes of NewVersion. They are set once its manifest has been
	// read.
	NewNotes string `json:"new_version_notes,omitempty"`
	// Fetched is how many of Total bytes have been downloaded.
	Fetched int64 `json:"fetched"`
	Total   int64 `json:"total"`
	// Left is the estimated time that is left, 0 if it is not known.
	Left time.Duration `json:"time_left_ns"`
	// LastError says why there is no update, or why the last attempt failed.
	LastError string `json:"last_error,omitempty"`
	// Refused are the versions that were rolled back or set aside on this machine, with the
	// reasons.
	Refused map[string]string `json:"refused_versions,omitempty"`
}

// Progress is between 0 and 1.
func (s Status) Progress() float64 {
	if s.Total <= 0 {
		return 0
	}
	return min(1, float64(s.Fetched)/float64(s.Total))
}
