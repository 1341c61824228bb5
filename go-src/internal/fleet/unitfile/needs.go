package unitfile

import (
	"slices"
	"strings"
)

// Needs are the units of types that fleet runs that a file names in [Unit], for which it has
// to be started after others or not at all (systemd.unit(5)).
type Needs struct{ Requires, BindsTo, After []string }

// Needs reads them for a unit with that name. Names with specifiers that only systemd knows
// are left out.
func (f *File) Needs(name Name) Needs {
	named := func(option string) []string {
		var all []string
		for _, line := range f.values("Unit", option) {
			for _, word := range strings.Fields(name.expand(line)) {
				n, err := ParseName(strings.Trim(word, `"'`))
				if err == nil && n.Full != name.Full && !n.IsTemplate() && !slices.Contains(all, n.Full) {
					all = append(all, n.Full)
				}
			}
		}
		return all
	}
	return Needs{Requires: named("Requires"), BindsTo: named("BindsTo"), After: named("After")}
}

// All are the names of all of them, those first without which the unit cannot run.
func (n Needs) All() []string {
	var all []string
	for _, name := range slices.Concat(n.Requires, n.BindsTo, n.After) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// DependsOn reports whether the unit cannot run without another one. After= alone orders the two, and
// is no dependency.
func (n Needs) DependsOn(other string) bool {
	return slices.Contains(n.Requires, other) || slices.Contains(n.BindsTo, other)
}
