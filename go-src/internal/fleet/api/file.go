package api

import (
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"coreos/internal/fleet/unitfile"
)

// File is the unit's file.
func (u Unit) File() *unitfile.File {
	f := &unitfile.File{Options: make([]*unit.UnitOption, len(u.Options))}
	for i, o := range u.Options {
		f.Options[i] = unit.NewUnitOption(o.Section, o.Name, o.Value)
	}
	return f
}

// SetFile gives the unit the file's options.
func (u *Unit) SetFile(f *unitfile.File) {
	u.Options = make([]UnitOption, len(f.Options))
	for i, o := range f.Options {
		u.Options[i] = UnitOption{o.Section, o.Name, o.Value}
	}
}

// Requirements reads what the unit's file says to fleet.
func (u Unit) Requirements() (unitfile.Requirements, error) {
	name, err := unitfile.ParseName(u.Name)
	if err != nil {
		return unitfile.Requirements{}, err
	}
	return u.File().Requirements(name)
}

// sameOptions compares a file with what became of it when it was written and read: its
// sections may be in one piece now, and spaces around values gone.
func sameOptions(sent, read *unitfile.File) bool {
	first := map[string]int{}
	for i, o := range sent.Options {
		if _, ok := first[o.Section]; !ok {
			first[o.Section] = i
		}
	}
	grouped := slices.SortedStableFunc(slices.Values(sent.Options), func(a, b *unit.UnitOption) int {
		return first[a.Section] - first[b.Section]
	})
	return slices.EqualFunc(grouped, read.Options, func(a, b *unit.UnitOption) bool {
		return a.Section == b.Section && strings.TrimSpace(a.Name) == b.Name && strings.TrimSpace(a.Value) == strings.TrimSpace(b.Value)
	})
}
