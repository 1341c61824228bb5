// Package scheduler decides which machine has to run which unit. It does not know etcd: callers
// tell it what exists and what changes. It remembers what a change may affect, and a plan looks
// only at that.
package scheduler

import (
	"slices"

	"github.com/google/btree"

	"coreos/internal/fleet/unitfile"
)

// Unit is a unit that has to be placed on a machine.
type Unit struct {
	Name         string
	Requirements unitfile.Requirements
	// Machine is the machine that has the unit; "" if none has.
	Machine string
}

// Machine is a machine on which units can be placed.
type Machine struct {
	ID       string
	Metadata map[string]string
	// CPUs and Memory (bytes) are what units can reserve. MaxUnits is how many units the
	// machine takes, 0 for any number.
	CPUs     float64
	Memory   int64
	MaxUnits int
	// Drained machines keep only units that cannot run elsewhere, and get no new ones.
	Drained bool
}

// Move takes a unit from a machine to another one; "" is no machine.
type Move struct{ Unit, From, To string }

// Scheduler places units. One goroutine at a time may use it.
type Scheduler struct {
	units    map[string]*unit
	machines map[string]*machine
	// byLoad has the machines, the emptiest first.
	byLoad *btree.BTreeG[*machine]
	// waiting has the units without a machine. dirty has the units that the next plan has to
	// check, changed the machines that may have room for others since the last plan.
	waiting, dirty map[string]*unit
	changed        map[string]*machine
	// dependents has the units that name another one in MachineOf=, by that one's name.
	dependents map[string]map[string]*unit
	// globals are the global units. Nobody places them; they conflict with other units.
	globals map[string]*unit
}

type unit struct {
	Unit
	at *machine
}

// New returns a scheduler without units and machines.
func New() *Scheduler {
	return &Scheduler{
		units: map[string]*unit{}, machines: map[string]*machine{}, byLoad: btree.NewG(16, less),
		waiting: map[string]*unit{}, dirty: map[string]*unit{}, changed: map[string]*machine{},
		dependents: map[string]map[string]*unit{}, globals: map[string]*unit{},
	}
}

// SetMachine adds a machine or changes one.
func (s *Scheduler) SetMachine(m Machine) {
	known := s.machines[m.ID]
	if known == nil {
		known = &machine{units: map[string]*unit{}, exclusive: map[string]*unit{}}
		known.Machine = m
		s.machines[m.ID] = known
		s.byLoad.ReplaceOrInsert(known)
		// Units can name a machine before the scheduler knows it. They are dirty: they were
		// added, or lost a machine with the same ID, since the last plan.
		for _, u := range s.dirty {
			if u.Machine == m.ID && u.at == nil {
				s.put(u, known)
			}
		}
	}
	known.Machine = m
	s.changed[m.ID] = known
	for name, u := range known.units {
		s.dirty[name] = u
	}
}

// RemoveMachine removes a machine. Its units have to go elsewhere.
func (s *Scheduler) RemoveMachine(id string) {
	m := s.machines[id]
	if m == nil {
		return
	}
	for _, u := range m.units {
		s.take(u)
		s.dirty[u.Name] = u
	}
	s.byLoad.Delete(m)
	delete(s.machines, id)
	delete(s.changed, id)
}

// SetUnit adds a unit or changes one.
func (s *Scheduler) SetUnit(u Unit) {
	known := s.units[u.Name]
	if known == nil {
		known = &unit{}
		s.units[u.Name] = known
	} else {
		s.take(known)
		s.removeDependencies(known)
	}
	known.Unit = u
	for _, other := range u.Requirements.MachineOf {
		if s.dependents[other] == nil {
			s.dependents[other] = map[string]*unit{}
		}
		s.dependents[other][u.Name] = known
	}
	if m := s.machines[u.Machine]; m != nil {
		s.put(known, m)
	}
	s.dirty[u.Name] = known
	s.requeueDependents(u.Name)
}

// RemoveUnit removes a unit.
func (s *Scheduler) RemoveUnit(name string) {
	u := s.units[name]
	if u == nil {
		return
	}
	s.take(u)
	s.removeDependencies(u)
	delete(s.units, name)
	delete(s.waiting, name)
	delete(s.dirty, name)
	s.requeueDependents(name)
}

// SetGlobal adds a global unit, or changes one. It runs on every machine that fits.
func (s *Scheduler) SetGlobal(name string, r unitfile.Requirements) {
	s.RemoveGlobal(name)
	global := &unit{Unit: Unit{Name: name, Requirements: r}}
	s.globals[name] = global
	for _, u := range s.units {
		if incompatible(u, global) {
			s.dirty[u.Name] = u
		}
	}
}

// RemoveGlobal removes a global unit.
func (s *Scheduler) RemoveGlobal(name string) {
	if global, there := s.globals[name]; there {
		delete(s.globals, name)
		for id, m := range s.machines {
			if global.Requirements.Fits(m.Metadata) {
				s.changed[id] = m // other units may fit now
			}
		}
	}
}

func (s *Scheduler) removeDependencies(u *unit) {
	for _, other := range u.Requirements.MachineOf {
		delete(s.dependents[other], u.Name)
		if len(s.dependents[other]) == 0 {
			delete(s.dependents, other)
		}
	}
}

// requeueConflicting re-queues the units of a machine that may conflict with a unit just placed
// there.
func (s *Scheduler) requeueConflicting(m *machine, placed *unit) {
	for name, u := range m.units {
		if u != placed && (isExclusive(placed) || isExclusive(u)) && incompatible(placed, u) {
			s.dirty[name] = u
		}
	}
}

// requeueDependents re-queues the units that have to be on the machine of another one.
func (s *Scheduler) requeueDependents(name string) {
	for dependent, u := range s.dependents[name] {
		s.dirty[dependent] = u
	}
}

// isExclusive reports whether a unit names others in Conflicts= or Replaces=.
func isExclusive(u *unit) bool {
	return len(u.Requirements.Conflicts) > 0 || len(u.Requirements.Replaces) > 0
}

// incompatible reports whether two units cannot be on one machine.
func incompatible(a, b *unit) bool {
	return unitfile.Conflict(a.Name, a.Requirements, b.Name, b.Requirements) ||
		unitfile.Replaces(a.Name, a.Requirements, b.Name) || unitfile.Replaces(b.Name, b.Requirements, a.Name)
}

// names returns the names of units, sorted: a plan must not depend on the order of a map.
func names(units map[string]*unit) []string {
	all := make([]string, 0, len(units))
	for name := range units {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
