package unitfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Requirements are the options of [X-Fleet], with the specifiers of the unit's name replaced.
type Requirements struct {
	// MachineID is the machine on which the unit has to run; "" for any.
	MachineID string
	// MachineOf has units; this one has to run on their machine.
	MachineOf []string
	// Conflicts are patterns (path.Match) of units that must not run on the same machine.
	Conflicts []string
	// Replaces are patterns of units that leave the machine when this one comes.
	Replaces []string
	// Metadata has, for each key, the values of which the machine has to have one.
	Metadata map[string][]string
	// Global makes every machine that fits run the unit.
	Global bool

	// Upstream does not have the fields that follow.

	// Prefers has values as Metadata has. Machines that have them are chosen first.
	Prefers map[string][]string
	// MaxPerMachine is how many units of the same template a machine may have; 0 for any
	// number.
	MaxPerMachine int
	// CPUs (processors) and Memory (bytes) are reserved for the unit.
	CPUs   float64
	Memory int64
	// RunOnce means that no machine runs the unit again, not even after a restart, once it has
	// ended without a failure.
	RunOnce bool
}

// section is the name of fleet's section.
const section = "X-Fleet"

// options has the options of [X-Fleet], with their older names.
var options = map[string][]string{
	"MachineID":       {"MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"},
	"MachineOf":       {"X-ConditionMachineOf", "MachineOf"},
	"Conflicts":       {"X-Conflicts", "Conflicts"},
	"Replaces":        {"Replaces"},
	"MachineMetadata": {"X-ConditionMachineMetadata", "MachineMetadata"},
	"Global":          {"Global"},
	"Prefers":         {"Prefers"},
	"MaxPerMachine":   {"MaxPerMachine"},
	"CPUs":            {"CPUs"},
	"Memory":          {"Memory"},
	"RunOnce":         {"RunOnce"},
}

// Requirements reads the section [X-Fleet] of a unit with that name. It refuses unknown options,
// patterns with a wrong syntax, and requirements that contradict each other.
func (f *File) Requirements(name Name) (Requirements, error) {
	if f = f.section(); len(f.Options) == 0 {
		return Requirements{}, nil // most units have none, and a new leader reads all units
	}
	if err := f.checkOptions(); err != nil {
		return Requirements{}, err
	}
	// As in upstream, the first value of the first name counts.
	var r Requirements
	if ids := f.all(name, "MachineID"); len(ids) > 0 {
		r.MachineID = ids[0]
	}
	r.MachineOf, r.Replaces = f.all(name, "MachineOf"), f.all(name, "Replaces")
	for _, words := range f.all(name, "Conflicts") {
		r.Conflicts = append(r.Conflicts, strings.Fields(words)...)
	}
	if all := f.all(name, "Global"); len(all) > 0 {
		r.Global = isTrue(all[len(all)-1])
	}
	r.Metadata, r.Prefers = metadata(f.all(name, "MachineMetadata")), metadata(f.all(name, "Prefers"))
	if all := f.all(name, "RunOnce"); len(all) > 0 {
		r.RunOnce = isTrue(all[len(all)-1])
	}
	return r, errors.Join(r.amounts(f, name), r.check())
}

// Check returns why a unit with that name cannot be submitted: an error of Requirements, or metadata that
// are not KEY=VALUE. Requirements ignores those, as upstream does, since a unit of the cluster may have
// them.
func (f *File) Check(name Name) error {
	if _, err := f.Requirements(name); err != nil {
		return err
	}
	for _, option := range []string{"MachineMetadata", "Prefers"} {
		for _, text := range f.section().all(name, option) {
			if _, _, err := pair(text); err != nil {
				return fmt.Errorf("%s=%.80q: %w", option, text, err)
			}
		}
	}
	return nil
}

// section returns a file with the section [X-Fleet] alone.
func (f *File) section() *File {
	own := &File{}
	for _, option := range f.Options {
		if option.Section == section {
			own.Options = append(own.Options, option)
		}
	}
	return own
}

func (f *File) checkOptions() error {
	for _, option := range f.Options {
		known := false
		for _, names := range options {
			known = known || slices.Contains(names, option.Name)
		}
		if !known {
			return fmt.Errorf("unrecognized requirement in [X-Fleet] section: %.80q", option.Name)
		}
	}
	return nil
}

// all returns the values of an option, under all of its names.
func (f *File) all(name Name, option string) []string {
	var all []string
	for _, called := range options[option] {
		for _, line := range f.values(section, called) {
			for _, value := range split(line) {
				all = append(all, name.expand(value))
			}
		}
	}
	return all
}

// split returns the values of a line: the whole line, or several values in quotes.
func split(line string) []string {
	if !strings.HasPrefix(line, `"`) || !strings.HasSuffix(line, `"`) {
		return []string{line}
	}
	var values []string
	var value strings.Builder
	quoted := false
	for _, c := range []byte(line) {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			values = append(values, value.String())
			value.Reset()
		default:
			value.WriteByte(c)
		}
	}
	return append(values, value.String())
}

func isTrue(text string) bool {
	return slices.Contains([]string{"true", "yes", "1", "on", "t"}, strings.ToLower(text))
}

// pair reads KEY=VALUE.
func pair(text string) (key, value string, err error) {
	key, value, _ = strings.Cut(text, "=")
	if key == "" || value == "" || strings.Contains(value, "=") {
		return "", "", errors.New(`want KEY=VALUE, and several of them in quotes: "a=b" "c=d"`)
	}
	return key, value, nil
}

// metadata reads pairs. It ignores other text.
func metadata(all []string) map[string][]string {
	var m map[string][]string
	for _, text := range all {
		key, value, err := pair(text)
		if err == nil && !slices.Contains(m[key], value) {
			if m == nil {
				m = map[string][]string{}
			}
			m[key] = append(m[key], value)
		}
	}
	return m
}

// check refuses requirements that no machine can meet.
func (r Requirements) check() error {
	for option, patterns := range map[string][]string{"Conflicts": r.Conflicts, "Replaces": r.Replaces} {
		for _, pattern := range patterns {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("%s=%.80q: %w", option, pattern, err)
			}
			if i := slices.IndexFunc(r.MachineOf, func(other string) bool { return matches(pattern, other) }); i >= 0 {
				return fmt.Errorf("unresolvable requirements: MachineOf=%q matches %s=%q", r.MachineOf[i], option, pattern)
			}
		}
	}
	machineOf, conflicts, replaces := len(r.MachineOf) > 0, len(r.Conflicts) > 0, len(r.Replaces) > 0
	for _, combination := range []struct {
		is   bool
		text string
	}{
		{r.MachineID != "" && machineOf, "MachineID cannot be used with MachineOf"},
		{r.MachineID != "" && conflicts, "MachineID cannot be used with Conflicts"},
		{r.MachineID != "" && r.Global, "MachineID cannot be used with Global"},
		{r.MachineID != "" && replaces, "MachineID cannot be used with Replaces"},
		{r.Global && machineOf, "Global cannot be used with MachineOf"},
		{r.Global && replaces, "Global cannot be used with Replaces"},
		{conflicts && replaces, "Conflicts cannot be used with Replaces"},
		{r.Global && r.RunOnce, "Global cannot be used with RunOnce"},
	} {
		if combination.is {
			return errors.New(combination.text)
		}
	}
	return nil
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// PreferencesMet returns how many of the keys in Prefers have a preferred value in a machine's
// metadata.
func (r Requirements) PreferencesMet(metadata map[string]string) int {
	n := 0
	for key, values := range r.Prefers {
		if value, ok := metadata[key]; ok && slices.Contains(values, value) {
			n++
		}
	}
	return n
}

// Fits reports whether a machine's metadata meet the requirements.
func (r Requirements) Fits(metadata map[string]string) bool {
	for key, values := range r.Metadata {
		if value, ok := metadata[key]; !ok || !slices.Contains(values, value) {
			return false
		}
	}
	return true
}

// Conflict reports whether one of two units names the other one in Conflicts=.
func Conflict(name string, r Requirements, otherName string, other Requirements) bool {
	return name != otherName &&
		(slices.ContainsFunc(r.Conflicts, func(p string) bool { return matches(p, otherName) }) ||
			slices.ContainsFunc(other.Conflicts, func(p string) bool { return matches(p, name) }))
}

// Replaces reports whether a unit names another one in Replaces=.
func Replaces(name string, r Requirements, other string) bool {
	return name != other && slices.ContainsFunc(r.Replaces, func(p string) bool { return matches(p, other) })
}
