package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// obstacle says why a machine cannot have a unit, or "" if it can.
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
		return fmt.Sprintf("it takes no more than %d units", m.MaxUnits)
	}
	if reason := s.shortage(u, m); reason != "" {
		return reason
	}
	for _, peer := range r.MachineOf {
		if p := s.units[peer]; p == nil || p.at != m {
			return fmt.Sprintf("%s, beside which it has to run, is not there", peer)
		}
	}
	return s.enemy(u, m)
}

// others counts the units of a machine but for one.
func (s *Scheduler) others(u *unit, m *machine) int {
	if u.at == m {
		return len(m.units) - 1
	}
	return len(m.units)
}

// shortage says what a machine lacks for what a unit reserves.
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
	return s.crowd(u, m)
}

// crowd says whether a machine has as many units of a template as any of them allows.
func (s *Scheduler) crowd(u *unit, m *machine) string {
	n, most := 0, u.Requirements.MaxPerMachine
	if u.Requirements.MaxPerMachine == 0 && m.limited == 0 {
		return ""
	}
	for name, other := range m.units {
		if other == u || !unitfile.SameTemplate(name, u.Name) {
			continue
		}
		n++
		if limit := other.Requirements.MaxPerMachine; limit > 0 && (most == 0 || limit < most) {
			most = limit
		}
	}
	if most > 0 && n >= most {
		return fmt.Sprintf("it has %d of the template's units, MaxPerMachine is %d", n, most)
	}
	return ""
}

// enemy says which unit of a machine is in the way. Those that the unit replaces are not:
// they find it in their way.
func (s *Scheduler) enemy(u *unit, m *machine) string {
	among := m.picky
	if isPicky(u) {
		among = m.units
	}
	first := ""
	for name, other := range among {
		if other == u || !clash(u, other) {
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
		first = s.globalEnemy(u, m)
	}
	if first != "" {
		return "it conflicts with " + first
	}
	return ""
}

// globalEnemy names the global unit that runs on a machine and is in the way.
func (s *Scheduler) globalEnemy(u *unit, m *machine) string {
	first := ""
	for name, global := range s.globals {
		if (first == "" || name < first) && global.Requirements.Fits(m.Metadata) && clash(u, global) {
			first = name
		}
	}
	return first
}

// Why explains where a unit is. ok is false if there is no such unit.
func (s *Scheduler) Why(name string) (reasons schema.Reasons, ok bool) {
	u := s.units[name]
	if u == nil {
		return reasons, false
	}
	reasons.Name = name
	can := 0
	for _, id := range slices.Sorted(maps.Keys(s.machines)) {
		reason := s.obstacle(u, s.machines[id])
		if reason == "" {
			can++
		}
		reasons.Machines = append(reasons.Machines, schema.MachineReason{MachineID: id, Reason: reason})
	}
	switch {
	case u.at != nil:
		reasons.MachineID = u.at.ID
		reasons.Summary = fmt.Sprintf("it was given to %s; %d of %d machines can have it", u.at.ID, can, len(s.machines))
	case len(s.machines) == 0:
		reasons.Summary = "there are no machines"
	case can == 0:
		reasons.Summary = fmt.Sprintf("none of %d machines can have it", len(s.machines))
	default:
		reasons.Summary = "it is about to be given to a machine"
	}
	return reasons, true
}

// Place says where a unit is, "" for nowhere. ok is false if there is no such unit.
func (s *Scheduler) Place(name string) (machine string, ok bool) {
	u := s.units[name]
	switch {
	case u == nil:
		return "", false
	case u.at == nil:
		return "", true
	}
	return u.at.ID, true
}
