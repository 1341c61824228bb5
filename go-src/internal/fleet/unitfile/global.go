package unitfile

import (
	"maps"
	"slices"
)

// Rivals says which of all global units a machine with these metadata runs: those that fit
// it, and of such that conflict the first by name, as upstream has it. The value is empty
// for a unit that it runs, and else the name of the one that it runs instead. Units that do
// not fit are left out.
func Rivals(globals map[string]Requirements, metadata map[string]string) map[string]string {
	rivals := map[string]string{}
	var runs, picky []string // picky are those of runs that name others
	for _, name := range slices.Sorted(maps.Keys(globals)) {
		r := globals[name]
		if !r.Fits(metadata) {
			continue
		}
		among := picky
		if len(r.Conflicts) > 0 {
			among = runs
		}
		rival := slices.IndexFunc(among, func(other string) bool { return Conflict(name, r, other, globals[other]) })
		if rival >= 0 {
			rivals[name] = among[rival]
			continue
		}
		rivals[name] = ""
		if runs = append(runs, name); len(r.Conflicts) > 0 {
			picky = append(picky, name)
		}
	}
	return rivals
}
