package unitfile

import (
	"slices"
	"strings"
)

// Needs are the units that a file names in Requires=, BindsTo= and After= of [Unit]
// (systemd.unit(5)). Units of types that fleet does not run are left out.
type Needs struct{ Requires, BindsTo, After []string }

// Needs reads the needs of a unit with that name. It leaves out names with specifiers that only
// systemd can replace.
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

// All returns all names, each once, those of After= last.
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
