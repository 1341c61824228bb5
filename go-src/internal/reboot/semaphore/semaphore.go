// Package semaphore has the document with which the machines of a group agree on which of
// them may restart. It is locksmith's (https://github.com/coreos/locksmith#semaphore): how
// many machines may hold the lock, and which do. We add for each holder since when it holds
// the lock and why, the version that it restarts into, and the result.
package semaphore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Semaphore is the document. Tools that know only upstream's fields can still read it.
type Semaphore struct {
	// Free is Max minus the number of holders. It is negative after Max was lowered.
	Free    int      `json:"semaphore"`
	Max     int      `json:"max"`
	Holders []string `json:"holders"` // machine ids, sorted
	// Details describe the holders that are machines of ours.
	Details map[string]Holder `json:"details,omitempty"`
}

// Reasons for which a machine holds the lock.
const (
	Update = "update" // to restart into a new version
	Reboot = "reboot" // to restart on request
	ByHand = "lock"   // locked on request, and unlocked only on request
)

// Holder describes a holder.
type Holder struct {
	Host  string    `json:"host,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"`
	From  string    `json:"from,omitempty"`    // the version that ran when the lock was taken
	To    string    `json:"version,omitempty"` // the version to restart into
	// BootID is the kernel's boot id when the lock was taken.
	BootID string `json:"boot_id,omitempty"`
	// FailedVersion is the version that did not become healthy on the machine, and Failed
	// the reason. The machine keeps the lock until it runs a newer version, so that no
	// other machine restarts into the failed one.
	FailedVersion string `json:"failed_version,omitempty"`
	Failed        string `json:"failed,omitempty"`
}

// Errors of operations.
var (
	ErrNotExist = errors.New("holder does not exist")
	ErrExist    = errors.New("holder exists")
)

// FullError says that there is no room for another holder.
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

// StoppedError says that the version failed on another machine, so that no machine restarts
// into it.
type StoppedError struct {
	Version, Machine string
	Holder           Holder
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("version %s failed on %s: %s", e.Version, name(e.Machine, e.Holder), e.Holder.Failed)
}

// name returns the name of a machine for people.
func name(id string, h Holder) string {
	if h.Host == "" {
		return id
	}
	return h.Host + " (" + id + ")"
}

// New returns the semaphore of a new group.
func New() *Semaphore { return &Semaphore{Free: 1, Max: 1, Holders: []string{}} }

// maxDocument is the size limit of the document in bytes.
const maxDocument = 1 << 20

// Parse parses the document. Free is computed from the list of holders.
func Parse(text []byte) (*Semaphore, error) {
	if len(text) > maxDocument {
		return nil, fmt.Errorf("the semaphore is larger than %d bytes", maxDocument)
	}
	s := new(Semaphore)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("the semaphore is not valid JSON: %w", err)
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
	if err != nil { // every field can be encoded
		panic(err)
	}
	return string(text)
}

// tidy computes Free from the holders, and removes details of others.
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

// Holds returns the description of a holder, and whether the machine is one.
func (s *Semaphore) Holds(id string) (Holder, bool) {
	return s.Details[id], slices.Contains(s.Holders, id)
}

// Lock makes a machine a holder. It fails if there are Max holders, or if the same version
// failed on another machine. A machine that holds the lock already keeps it: the answer to
// an earlier request may have been lost, or the version may be newer now.
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

// stopped returns an error if the version failed on another machine.
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

// Fail records that the restart of a holder failed.
func (s *Semaphore) Fail(id, reason string) error {
	h, held := s.Holds(id)
	if !held {
		return ErrNotExist
	}
	h.FailedVersion, h.Failed = h.To, reason
	s.describe(id, h)
	return nil
}

// Unlock releases the lock held by a machine.
func (s *Semaphore) Unlock(id string) error {
	at, held := slices.BinarySearch(s.Holders, id)
	if !held {
		return ErrNotExist
	}
	s.Holders = slices.Delete(s.Holders, at, at+1)
	s.tidy()
	return nil
}

// SetMax sets how many machines may hold the lock, 0 for none, and returns the number
// before. Current holders keep the lock.
func (s *Semaphore) SetMax(limit int) (old int, err error) {
	if limit < 0 {
		return s.Max, fmt.Errorf("%d machines cannot hold the lock", limit)
	}
	old, s.Max = s.Max, limit
	s.tidy()
	return old, nil
}
