package unitfile

import (
	"maps"
	"slices"
)

// GlobalConflicts chooses the global units that a machine with these metadata runs. Of units
// that conflict it chooses the first by name, as upstream does. The result has each unit that
// fits the machine, with the name of the unit with which it conflicts, "" if the machine runs
// it.
func GlobalConflicts(globals map[string]Requirements, metadata map[string]string) map[string]string {
	conflicts := map[string]string{}
	var chosen, exclusive []string // exclusive are the chosen units that name others in Conflicts
	for _, name := range slices.Sorted(maps.Keys(globals)) {
		r := globals[name]
		if !r.Fits(metadata) {
			continue
		}
		among := exclusive
		if len(r.Conflicts) > 0 {
			among = chosen
		}
		i := slices.IndexFunc(among, func(other string) bool { return Conflict(name, r, other, globals[other]) })
		if i >= 0 {
			conflicts[name] = among[i]
			continue
		}
		conflicts[name] = ""
		if chosen = append(chosen, name); len(r.Conflicts) > 0 {
			exclusive = append(exclusive, name)
		}
	}
	return conflicts
}
