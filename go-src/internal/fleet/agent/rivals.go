package agent

import (
	"context"

	"coreos/internal/fleet/unitfile"
)

// The leader keeps units that conflict on different machines, but for global units: those
// need nobody's leave to run on a machine that fits them. And it does not wait until a unit
// that it takes from a machine has stopped there before it gives another one to it.

// pick chooses the global units that the machine runs, and notes for which that has changed.
func (s *session) pick(changed map[string]bool) {
	all := map[string]unitfile.Requirements{}
	for name, global := range s.globals {
		all[name] = global.requirements
	}
	was := s.runs
	s.runs = map[string]bool{}
	for name, rival := range unitfile.Rivals(all, s.metadata) {
		if s.runs[name] = rival == ""; s.runs[name] != was[name] {
			changed[name] = true
		}
	}
	for name := range was {
		if s.runs[name] != was[name] {
			changed[name] = true
		}
	}
}

// rival is the first by name of the units that have to be stopped before one is started; ""
// if there is none.
func (a *Agent) rival(name string, u *unit) (first string) {
	for other, o := range a.units {
		if other == name || first != "" && first < other || !o.launched && !o.unsure && !o.busy {
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

// actRivals goes on with the units that wait until one has stopped.
func (a *Agent) actRivals(ctx context.Context, name string) {
	for other, u := range a.units {
		if u.waiting == name {
			a.act(ctx, other)
		}
	}
}
