package configdrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"coreos/internal/host/fsync"
)

// File is where the machine remembers its config drive. Without it, the next drive that can
// be a config drive is the machine's.
const File = "/var/lib/coreos-cloudinit/config-drive.json"

// Record is what the machine remembers: its config drive, or that it has none.
type Record struct {
	// Drive is nil if the machine came up without a config drive.
	Drive *Drive `json:"drive"`
	// Instance is the instance id on the drive, nil as long as the drive was not read.
	Instance *string `json:"instance,omitempty"`
}

func (r Record) String() string {
	switch {
	case r.Drive == nil:
		return "this machine has no config drive: it came up without one"
	case r.Instance == nil || *r.Instance == "":
		return "config drive: " + r.Drive.String()
	}
	return fmt.Sprintf("config drive: %s, instance %s", r.Drive, *r.Instance)
}

// Read returns the record, nil if there is none.
func Read(path string) (*Record, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := new(Record)
	if err := json.Unmarshal(text, record); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return record, nil
}

// write writes a record durably.
func (r Record) write(path string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o600)
}

// create is write if there is no record yet, and returns fs.ErrExist otherwise. Only one process
// may create a record at a time.
func (r Record) create(path string) error {
	next := path + ".new"
	if err := r.write(next); err != nil {
		return err
	}
	err := os.Link(next, path)
	return errors.Join(err, os.Remove(next), fsync.Path(filepath.Dir(path)))
}

// ErrOther says that a drive is not the one that the machine remembers.
var ErrOther = errors.New("it is not the config drive of this machine")

// permits returns ErrOther if the machine remembers another drive, or none.
func (r *Record) permits(d Drive) error {
	switch {
	case r == nil:
		return nil
	case r.Drive == nil:
		return fmt.Errorf("%w, which came up without one", ErrOther)
	case !r.Drive.is(d):
		return fmt.Errorf("%w, which is the drive with %s", ErrOther, r.Drive)
	}
	return nil
}

// permitsInstance returns ErrOther if the machine remembers another instance id.
func (r *Record) permitsInstance(id string) error {
	if r == nil || r.Instance == nil || *r.Instance == id {
		return nil
	}
	return fmt.Errorf("%w: it is for the instance %.80q, this machine is %.80q", ErrOther, id, *r.Instance)
}
