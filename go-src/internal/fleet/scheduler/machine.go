package scheduler

import "math"

type machine struct {
	Machine
	units map[string]*unit
	// exclusive has those of the units that name others in Conflicts= or Replaces=.
	exclusive map[string]*unit
	// cpus (thousandths) and memory are reserved. limited is the number of units with
	// MaxPerMachine=.
	cpus    int64
	memory  int64
	limited int
}

// less orders machines by the number of their units.
func less(a, b *machine) bool {
	if len(a.units) != len(b.units) {
		return len(a.units) < len(b.units)
	}
	return a.ID < b.ID
}

// put records that a unit is on a machine.
func (s *Scheduler) put(u *unit, m *machine) {
	s.byLoad.Delete(m)
	m.units[u.Name] = u
	s.byLoad.ReplaceOrInsert(m)
	if isExclusive(u) {
		m.exclusive[u.Name] = u
	}
	m.reserve(u, 1)
	u.at, u.Machine = m, m.ID
	delete(s.waiting, u.Name)
}

// take records that a unit is no longer on its machine, which has room for others.
func (s *Scheduler) take(u *unit) {
	m := u.at
	if m == nil {
		return
	}
	s.byLoad.Delete(m)
	delete(m.units, u.Name)
	s.byLoad.ReplaceOrInsert(m)
	delete(m.exclusive, u.Name)
	m.reserve(u, -1)
	u.at = nil
	s.changed[m.ID] = m
}

// reserve adds (sign 1) or removes (sign -1) what a unit reserves.
func (m *machine) reserve(u *unit, sign int) {
	m.cpus += int64(sign) * thousandths(u.Requirements.CPUs)
	m.memory += int64(sign) * u.Requirements.Memory
	if u.Requirements.MaxPerMachine > 0 {
		m.limited += sign
	}
}

// thousandths converts processors to a number that adds up without rounding.
func thousandths(cpus float64) int64 { return int64(math.Round(cpus * 1000)) }
