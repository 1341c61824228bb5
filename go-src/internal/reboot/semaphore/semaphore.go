// Package semaphore is the document by which the machines of a group agree on who may
// restart: locksmith's (https://github.com/coreos/locksmith#semaphore), which says how
// many may and who does, and beside it, for each holder, since when, why, to which
// version, and what became of it.
package semaphore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Semaphore is the document. Tools that know upstream's part of it alone read it as
// ever.
type Semaphore struct {
	// Free is Max less the number of holders; below 0 after Max was lowered.
	Free    int      `json:"semaphore"`
	Max     int      `json:"max"`
	Holders []string `json:"holders"` // machine ids, sorted
	// Details are known of holders that are machines of ours.
	Details map[string]Holder `json:"details,omitempty"`
}

// Why a machine holds the lock.
const (
	Update = "update" // to restart into a new version
	Reboot = "reboot" // to restart, by a person's command
	ByHand = "lock"   // a person's command locked it, and alone unlocks it
)

// Holder is what is known of a holder.
type Holder struct {
	Host  string    `json:"host,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"`
	From  string    `json:"from,omitempty"`    // the version that ran then
	To    string    `json:"version,omitempty"` // the version to run next
	// BootID is the kernel's for the boot in which the lock was taken.
	BootID string `json:"boot_id,omitempty"`
	// FailedVersion did not become healthy on the machine, and Failed says why. The machine
	// keeps the lock until a newer version does, so that no other one follows.
	FailedVersion string `json:"failed_version,omitempty"`
	Failed        string `json:"failed,omitempty"`
}

// Errors of operations.
var (
	ErrNotExist = errors.New("holder does not exist")
	ErrExist    = errors.New("holder exists")
)

// FullError says that there is no place for another holder.
type FullError struct {
	Max     int
	Holders []string
}

func (e *FullError) Error() string {
	if e.Max < 1 {
		return fmt.Sprintf("no machine may restart: the maximum is %d", e.Max)
	}
	return "held by " + strings.Join(e.Holders, ", ")
}

// StoppedError says that a version failed on another machine and goes no further.
type StoppedError struct {
	Version, Machine string
	Holder           Holder
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("version %s failed on %s: %s", e.Version, name(e.Machine, e.Holder), e.Holder.Failed)
}

// name names a machine for people.
func name(id string, h Holder) string {
	if h.Host == "" {
		return id
	}
	return h.Host + " (" + id + ")"
}

// New returns the semaphore of a new group.
func New() *Semaphore { return &Semaphore{Free: 1, Max: 1, Holders: []string{}} }

// maxDocument bounds the document in bytes.
const maxDocument = 1 << 20

// Parse reads the document. The list of holders counts: Free follows from it.
func Parse(text []byte) (*Semaphore, error) {
	if len(text) > maxDocument {
		return nil, fmt.Errorf("the semaphore is larger than %d bytes", maxDocument)
	}
	s := new(Semaphore)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("the semaphore is not JSON as it has to be: %w", err)
	}
	if slices.Contains(s.Holders, "") {
		return nil, errors.New("the semaphore has a holder without a name")
	}
	slices.Sort(s.Holders)
	s.Holders = slices.Compact(s.Holders)
	s.tidy()
	return s, nil
}

// String returns the document as JSON.
func (s *Semaphore) String() string {
	text, err := json.Marshal(s)
	if err != nil { // there is nothing in it that could not be written
		panic(err)
	}
	return string(text)
}

// tidy makes Free and Details follow from the holders.
func (s *Semaphore) tidy() {
	s.Free = s.Max - len(s.Holders)
	if s.Holders == nil {
		s.Holders = []string{}
	}
	for id := range s.Details {
		if !slices.Contains(s.Holders, id) {
			delete(s.Details, id)
		}
	}
}

// Holds returns what is known of a holder, and whether it is one.
func (s *Semaphore) Holds(id string) (Holder, bool) {
	return s.Details[id], slices.Contains(s.Holders, id)
}

// Lock makes a machine a holder, unless there are Max already, or another one failed
// with the same version. A machine that holds the lock keeps it: it may have lost the
// answer, or have got a newer version meanwhile.
func (s *Semaphore) Lock(id string, h Holder) error {
	if id == "" {
		return errors.New("a holder needs a machine id")
	}
	old, held := s.Holds(id)
	if stopped := s.stopped(id, h.To); stopped != nil {
		return stopped
	}
	switch {
	case !held && s.Free <= 0:
		return &FullError{s.Max, slices.Clone(s.Holders)}
	case !held:
		at, _ := slices.BinarySearch(s.Holders, id)
		s.Holders = slices.Insert(s.Holders, at, id)
	case !old.Since.IsZero():
		h.Since = old.Since
	}
	if held && old.FailedVersion != h.To {
		h.FailedVersion, h.Failed = old.FailedVersion, old.Failed
	}
	s.describe(id, h)
	return nil
}

// stopped finds another machine that failed with a version.
func (s *Semaphore) stopped(id, version string) error {
	for _, other := range s.Holders {
		if h := s.Details[other]; version != "" && other != id && h.FailedVersion == version {
			return &StoppedError{version, other, h}
		}
	}
	return nil
}

func (s *Semaphore) describe(id string, h Holder) {
	if s.Details == nil {
		s.Details = map[string]Holder{}
	}
	s.Details[id] = h
	s.tidy()
}

// Fail notes that a holder did not become what it restarted for.
func (s *Semaphore) Fail(id, reason string) error {
	h, held := s.Holds(id)
	if !held {
		return ErrNotExist
	}
	h.FailedVersion, h.Failed = h.To, reason
	s.describe(id, h)
	return nil
}

// Unlock ends a machine's being a holder.
func (s *Semaphore) Unlock(id string) error {
	at, held := slices.BinarySearch(s.Holders, id)
	if !held {
		return ErrNotExist
	}
	s.Holders = slices.Delete(s.Holders, at, at+1)
	s.tidy()
	return nil
}

// SetMax says how many machines may hold the lock, 0 for none, and returns how many
// might before. Those that hold it keep it.
func (s *Semaphore) SetMax(limit int) (old int, err error) {
	if limit < 0 {
		return s.Max, fmt.Errorf("%d machines cannot hold the lock", limit)
	}
	old, s.Max = s.Max, limit
	s.tidy()
	return old, nil
}
