package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"coreos/internal/boot/slot"
	"coreos/internal/host/bounded"
	"coreos/internal/update/omaha"
)

// State is the persistent state of the engine. It is kept in state.json.
type State struct {
	// Pending is the update that is installed and whose result is not known yet.
	Pending *Pending `json:"pending,omitempty"`
	// Failed are the versions that were rolled back or set aside on this machine, with the
	// reasons.
	Failed map[string]string `json:"failed,omitempty"`
	// Events are the events that could not be sent to the server yet.
	Events []omaha.EventRequest `json:"events,omitempty"`
}

// Pending is an update that is installed.
type Pending struct {
	Version string    `json:"version"`
	From    string    `json:"from"` // the version that installed it
	Slot    slot.Name `json:"slot"`
	Boot    string    `json:"boot"`            // id of the boot in which it was installed
	Notes   string    `json:"notes,omitempty"` // release notes of Version
}

// stateMode is the mode of the file. The directory is closed to others, but earlier systems have a
// root without capabilities read it, to which a file of another user is one of "others".
const stateMode = 0o644

// Bounds of the state.
const (
	maxEvents = 32
	maxFailed = 32
	maxState  = 1 << 20
)

func statePath(dir string) string { return filepath.Join(dir, "state.json") }

// readState reads the state. It returns an empty state together with an error if the file
// is damaged, which must not keep the machine from updates.
func readState(dir string) (*State, error) {
	s := &State{Failed: map[string]string{}}
	text, err := bounded.ReadFile(statePath(dir), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return &State{Failed: map[string]string{}}, fmt.Errorf("%s: %w", statePath(dir), err)
	}
	if s.Failed == nil {
		s.Failed = map[string]string{}
	}
	return s, nil
}

func (s *State) write(dir string) error {
	if n := len(s.Events); n > maxEvents {
		s.Events = s.Events[n-maxEvents:]
	}
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(statePath(dir), append(text, '\n'), stateMode)
}

// fail records a version that is not installed again unless somebody asks for it.
func (s *State) fail(version, reason string) {
	if len(s.Failed) >= maxFailed {
		clear(s.Failed) // no publisher has so many bad versions; the file is wrong
	}
	s.Failed[version] = reason
}
