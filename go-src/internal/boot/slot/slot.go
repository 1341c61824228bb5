// Package slot reads and changes the boot state: the state of the two slots, A and B, from
// which GRUB chooses.
//
// The state is in GRUB's environment block: ORDER ("A B"), and for each slot A_TRIES (0 to
// 3, the number of boots that are left), A_OK (1 once the system in the slot was found
// healthy) and A_WHY (a short reason why the tries were taken away). GRUB takes one try
// from a slot before it boots it; the running system restores all tries when it is healthy.
// STAMP, which GRUB replaces at each boot, tells the disk from its copies. The other program
// that reads and writes the state is board/coreos/grub.cfg.
package slot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"coreos/internal/boot/grubenv"
)

// MaxTries is the number of boots in which a slot has to become healthy.
const MaxTries = 3

// Name is the name of a slot: "A" or "B".
type Name string

// The two slots.
const (
	A Name = "A"
	B Name = "B"
)

// ParseName parses the name of a slot, in upper or lower case.
func ParseName(s string) (Name, error) {
	switch name := Name(strings.ToUpper(s)); name {
	case A, B:
		return name, nil
	}
	return "", fmt.Errorf("no slot %q: the slots are A and B", s)
}

// Other returns the other slot.
func (n Name) Other() Name {
	if n == A {
		return B
	}
	return A
}

// BootLabel is the GPT label of the slot's boot partition.
func (n Name) BootLabel() string { return "BOOT-" + string(n) }

// UsrLabel is the GPT label of the slot's /usr partition.
func (n Name) UsrLabel() string { return "USR-" + string(n) }

// State is the boot state of one slot.
type State struct {
	Tries int    // boots left, 0 to MaxTries
	OK    bool   // found healthy since the system was written
	Why   string // why the tries were taken away, "" if they were not
}

// States is the boot state of both slots.
type States struct {
	Order [2]Name
	Slots map[Name]State
}

// Store keeps the environment block.
type Store interface {
	Read() (grubenv.Env, error)
	Write(grubenv.Env) error
}

// maxWhy is the size limit of a reason in bytes: the whole state must fit into one sector.
const maxWhy = 40

// Empty is the reason of a slot that has no system yet.
const Empty = "empty"

// stamp is the variable with the stamp of the disk.
const stamp = "STAMP"

// maxStamp is the size limit in bytes of a stamp. GRUB's have about 20.
const maxStamp = 40

// Stamp returns the stamp that the last boot by GRUB gave the disk, "" if there was none.
func Stamp(store Store) (string, error) {
	env, err := store.Read()
	return env[stamp], err
}

// onlyStamp returns the stamp of the variables, if it is not too long to be one.
func onlyStamp(env grubenv.Env) grubenv.Env {
	if of := env[stamp]; of != "" && len(of) <= maxStamp {
		return grubenv.Env{stamp: of}
	}
	return grubenv.Env{}
}

// OutOfTries returns why a slot with a system has no tries left, "" if it has some.
func (s States) OutOfTries(n Name) string {
	switch state := s.Slots[n]; {
	case state.Tries > 0 || state.Why == Empty:
		return ""
	case state.Why == "":
		return NoTrace
	default:
		return state.Why
	}
}

// Load reads the state. It treats missing and invalid variables as GRUB does: the order is
// A B, a slot has no tries and is not proven. A destroyed block counts as empty.
func Load(store Store) (States, error) {
	env, err := store.Read()
	if err != nil && !errors.Is(err, grubenv.ErrFormat) {
		return States{}, err
	}
	return decode(env), nil
}

func decode(env grubenv.Env) States {
	s := States{Order: [2]Name{A, B}, Slots: map[Name]State{}}
	if env["ORDER"] == "B A" {
		s.Order = [2]Name{B, A}
	}
	for _, n := range s.Order {
		s.Slots[n] = State{
			Tries: decodeTries(env[string(n)+"_TRIES"]),
			OK:    env[string(n)+"_OK"] == "1",
			Why:   env[string(n)+"_WHY"],
		}
	}
	return s
}

// decodeTries accepts what grub.cfg accepts: exactly one digit.
func decodeTries(s string) int {
	for tries := 1; tries <= MaxTries; tries++ {
		if s == strconv.Itoa(tries) {
			return tries
		}
	}
	return 0
}

func (s States) encode(env grubenv.Env) {
	env["ORDER"] = string(s.Order[0]) + " " + string(s.Order[1])
	for n, state := range s.Slots {
		ok := "0"
		if state.OK {
			ok = "1"
		}
		env[string(n)+"_TRIES"] = strconv.Itoa(state.Tries)
		env[string(n)+"_OK"] = ok
		env[string(n)+"_WHY"] = state.Why
	}
}

// Next returns the slot that GRUB boots next: the first in the order that has tries left,
// else the first that is proven, else the first.
func (s States) Next() Name {
	for _, n := range s.Order {
		if s.Slots[n].Tries > 0 {
			return n
		}
	}
	for _, n := range s.Order {
		if s.Slots[n].OK {
			return n
		}
	}
	return s.Order[0]
}

// update applies change to the stored state. It keeps other variables, and writes nothing
// if nothing has changed.
func update(store Store, change func(*States) error) error {
	env, err := store.Read()
	if errors.Is(err, grubenv.ErrFormat) {
		env = grubenv.Env{} // a destroyed block is replaced
	} else if err != nil {
		return err
	}
	before := decode(env)
	after := decode(env)
	if err := change(&after); err != nil {
		return err
	}
	after.shorten()
	if err == nil && before.equal(after) {
		return nil
	}
	after.encode(env)
	err = store.Write(env)
	if errors.Is(err, grubenv.ErrFull) { // of other variables, which grub.cfg does not use
		env = onlyStamp(env)
		after.encode(env)
		err = store.Write(env)
	}
	return err
}

// shorten shortens the reasons to the room in the environment block.
func (s States) shorten() {
	for n, state := range s.Slots {
		if len(state.Why) > maxWhy {
			state.Why = strings.ToValidUTF8(state.Why[:maxWhy], "")
			s.Slots[n] = state
		}
	}
}

func (s States) equal(t States) bool {
	return s.Order == t.Order && s.Slots[A] == t.Slots[A] && s.Slots[B] == t.Slots[B]
}

// MarkGood records that the system in the slot is healthy: the slot is proven and gets all
// its tries.
func MarkGood(store Store, n Name) error {
	return update(store, func(s *States) error {
		s.Slots[n] = State{Tries: MaxTries, OK: true}
		return nil
	})
}

// MarkBad takes away the tries of the slot and its proof. why is a short reason.
func MarkBad(store Store, n Name, why string) error {
	return update(store, func(s *States) error {
		s.Slots[n] = State{Why: why}
		return nil
	})
}

// Fail takes away the tries of the slot but not its proof: the system was healthy once, and
// is the last resort if the other slot fails, too.
func Fail(store Store, n Name, why string) error {
	return update(store, func(s *States) error {
		s.Slots[n] = State{OK: s.Slots[n].OK, Why: why}
		return nil
	})
}

// Note records why the current boot of the slot fails. It does not change the tries.
func Note(store Store, n Name, why string) error {
	return update(store, func(s *States) error {
		state := s.Slots[n]
		state.Why = why
		s.Slots[n] = state
		return nil
	})
}

// SetNext makes the slot the first in the order and gives it all its tries. A slot that is
// not proven stays on trial.
func SetNext(store Store, n Name) error {
	return update(store, func(s *States) error {
		s.Order = [2]Name{n, n.Other()}
		s.Slots[n] = State{Tries: MaxTries, OK: s.Slots[n].OK}
		return nil
	})
}

// GiveBack gives a slot the try back that its boot took.
func GiveBack(store Store, n Name) error {
	return update(store, func(s *States) error {
		state := s.Slots[n]
		state.Tries = min(state.Tries+1, MaxTries)
		s.Slots[n] = state
		return nil
	})
}

// ErrNoTries says that a slot has no tries left.
var ErrNoTries = errors.New("the slot has no tries left")

// Take takes one try from a slot, as GRUB does before a boot.
func Take(store Store, n Name) error {
	return update(store, func(s *States) error {
		state := s.Slots[n]
		if state.Tries == 0 {
			return ErrNoTries
		}
		state.Tries--
		s.Slots[n] = state
		return nil
	})
}
