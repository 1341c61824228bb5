package scheduler

import (
	"fmt"

	"coreos/internal/fleet/unitfile"
)

// obstacle returns the reason why a machine cannot have a unit; "" if it can.
func (s *Scheduler) obstacle(u *unit, m *machine) string {
	r := &u.Requirements
	switch {
	case r.MachineID != "" && r.MachineID != m.ID:
		return "MachineID names another machine"
	case m.Drained && r.MachineID == "":
		return "it is being drained"
	case !r.Fits(m.Metadata):
		return "its metadata do not fit"
	case m.MaxUnits > 0 && s.others(u, m) >= m.MaxUnits:
		return fmt.Sprintf("it takes at most %d units", m.MaxUnits)
	}
	if reason := s.shortage(u, m); reason != "" {
		return reason
	}
	for _, name := range r.MachineOf {
		if other := s.units[name]; other == nil || other.at != m {
			return fmt.Sprintf("%s, beside which it has to run, is not there", name)
		}
	}
	return s.conflict(u, m)
}

// others counts the units of a machine without one.
func (s *Scheduler) others(u *unit, m *machine) int {
	if u.at == m {
		return len(m.units) - 1
	}
	return len(m.units)
}

// shortage returns what a machine lacks of what a unit reserves.
func (s *Scheduler) shortage(u *unit, m *machine) string {
	r := &u.Requirements
	cpus, memory := m.cpus, m.memory
	if u.at == m {
		cpus, memory = cpus-thousandths(r.CPUs), memory-r.Memory
	}
	switch {
	case r.CPUs > 0 && cpus+thousandths(r.CPUs) > thousandths(m.CPUs):
		return fmt.Sprintf("%.2g of %.2g CPUs are reserved, %.2g are wanted", float64(cpus)/1000, m.CPUs, r.CPUs)
	case r.Memory > 0 && memory+r.Memory > m.Memory:
		return fmt.Sprintf("%d of %d MiB of memory are reserved, %d are wanted", memory>>20, m.Memory>>20, r.Memory>>20)
	}
	return templateLimit(u, m)
}

// templateLimit returns a reason if a machine has as many units of the unit's template as one of
// them allows.
func templateLimit(u *unit, m *machine) string {
	n, limit := 0, u.Requirements.MaxPerMachine
	if u.Requirements.MaxPerMachine == 0 && m.limited == 0 {
		return ""
	}
	for name, other := range m.units {
		if other == u || !unitfile.SameTemplate(name, u.Name) {
			continue
		}
		n++
		if own := other.Requirements.MaxPerMachine; own > 0 && (limit == 0 || own < limit) {
			limit = own
		}
	}
	if limit > 0 && n >= limit {
		return fmt.Sprintf("it has %d of the template's units, MaxPerMachine is %d", n, limit)
	}
	return ""
}

// conflict returns a reason if a unit conflicts with one that is on a machine. A unit that it
// replaces is no conflict: that one has to leave when the new one has come.
func (s *Scheduler) conflict(u *unit, m *machine) string {
	among := m.exclusive
	if isExclusive(u) {
		among = m.units
	}
	first := ""
	for name, other := range among {
		if other == u || !incompatible(u, other) {
			continue
		}
		if unitfile.Replaces(u.Name, u.Requirements, name) && !unitfile.Replaces(name, other.Requirements, u.Name) {
			continue
		}
		if first == "" || name < first {
			first = name
		}
	}
	if first == "" {
		first = s.globalConflict(u, m)
	}
	if first != "" {
		return "it conflicts with " + first
	}
	return ""
}

// globalConflict returns the first global unit that runs on a machine and conflicts with a unit.
func (s *Scheduler) globalConflict(u *unit, m *machine) string {
	first := ""
	for name, global := range s.globals {
		if (first == "" || name < first) && global.Requirements.Fits(m.Metadata) && incompatible(u, global) {
			first = name
		}
	}
	return first
}
