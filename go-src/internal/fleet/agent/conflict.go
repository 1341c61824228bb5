package agent

import "coreos/internal/fleet/unitfile"

// The leader keeps units that conflict on different machines, with two exceptions, which the
// agent cares for. Each machine decides for itself which global units it runs. And when the
// leader takes one unit from a machine and assigns another one to it, the first may still run.

// pickGlobals chooses the global units that the machine runs, and notes in changed for which
// units that is different from before.
func (s *session) pickGlobals(changed map[string]bool) {
	all := map[string]unitfile.Requirements{}
	for name, global := range s.globals {
		all[name] = global.requirements
	}
	before := s.runs
	s.runs = map[string]bool{}
	for name, conflict := range unitfile.GlobalConflicts(all, s.metadata) {
		if s.runs[name] = conflict == ""; s.runs[name] != before[name] {
			changed[name] = true
		}
	}
	for name := range before {
		if s.runs[name] != before[name] {
			changed[name] = true
		}
	}
}

// conflict returns the first unit by name that conflicts with another one and may run, "" if
// there is none.
func (a *Agent) conflict(name string, u *unit) (first string) {
	for other, o := range a.units {
		if other == name || first != "" && first < other || o.run == stopped && !o.phase.busy() {
			continue
		}
		if unitfile.Conflict(name, u.requirements(), other, o.requirements()) {
			first = other
		}
	}
	return first
}

func (is installed) requirements() unitfile.Requirements {
	return unitfile.Requirements{Conflicts: is.conflicts}
}
