// Package scheduler decides which machine has to run which unit. It knows nothing of
// etcd: it is told what there is, remembers what that changes, and looks only at the units
// that may be affected.
package scheduler

import (
	"math"
	"slices"

	"github.com/google/btree"

	"coreos/internal/fleet/unitfile"
)

// Unit is what has to be placed.
type Unit struct {
	Name         string
	Requirements unitfile.Requirements
	// Machine is where it is now, "" for nowhere.
	Machine string
}

// Machine is where units can be placed.
type Machine struct {
	ID       string
	Metadata map[string]string
	// CPUs and Memory (bytes) can be reserved by units; MaxUnits is how many it takes, 0
	// for any number.
	CPUs     float64
	Memory   int64
	MaxUnits int
	// Drained machines get no units, and keep those only that cannot run elsewhere.
	Drained bool
}

// Move takes a unit From a machine To one; "" is nowhere.
type Move struct{ Unit, From, To string }

// Scheduler is to be used by one goroutine.
type Scheduler struct {
	units    map[string]*unit
	machines map[string]*machine
	// byLoad has the machines in the order in which they are asked.
	byLoad *btree.BTreeG[*machine]
	// waiting are units without a machine, dirty units and machines those whose
	// circumstances changed since the last plan.
	waiting, dirty map[string]*unit
	changed        map[string]*machine
	// dependents are the units that have to be where another one is.
	dependents map[string]map[string]*unit
	// globals are units that run wherever they fit: nobody places them, but others may not
	// be able to run beside them.
	globals map[string]*unit
}

type unit struct {
	Unit
	at *machine
}

type machine struct {
	Machine
	units map[string]*unit
	// picky are those of the units that conflict with or replace others.
	picky map[string]*unit
	// cpus and memory are reserved, limited is the number of units with MaxPerMachine.
	cpus    int64 // thousandths
	memory  int64
	limited int
}

// New returns a scheduler that knows of nothing.
func New() *Scheduler {
	return &Scheduler{
		units: map[string]*unit{}, machines: map[string]*machine{}, byLoad: btree.NewG(16, less),
		waiting: map[string]*unit{}, dirty: map[string]*unit{}, changed: map[string]*machine{},
		dependents: map[string]map[string]*unit{}, globals: map[string]*unit{},
	}
}

// less orders machines by their load: the emptiest is asked first.
func less(a, b *machine) bool {
	if len(a.units) != len(b.units) {
		return len(a.units) < len(b.units)
	}
	return a.ID < b.ID
}

// SetMachine adds a machine, or says what changed about it.
func (s *Scheduler) SetMachine(m Machine) {
	known := s.machines[m.ID]
	if known == nil {
		known = &machine{units: map[string]*unit{}, picky: map[string]*unit{}}
		known.Machine = m
		s.machines[m.ID] = known
		s.byLoad.ReplaceOrInsert(known)
		// Units that are said to be there were waiting for it to be known. They came, or
		// lost a machine of that name, since the last plan.
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

// RemoveMachine takes a machine away: its units have to go elsewhere.
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

// SetUnit adds a unit, or says what changed about it.
func (s *Scheduler) SetUnit(u Unit) {
	known := s.units[u.Name]
	if known == nil {
		known = &unit{}
		s.units[u.Name] = known
	} else {
		s.take(known)
		s.forgetPeers(known)
	}
	known.Unit = u
	for _, peer := range u.Requirements.MachineOf {
		if s.dependents[peer] == nil {
			s.dependents[peer] = map[string]*unit{}
		}
		s.dependents[peer][u.Name] = known
	}
	if m := s.machines[u.Machine]; m != nil {
		s.put(known, m)
	}
	s.dirty[u.Name] = known
	s.touchDependents(u.Name)
}

// RemoveUnit takes a unit away.
func (s *Scheduler) RemoveUnit(name string) {
	u := s.units[name]
	if u == nil {
		return
	}
	s.take(u)
	s.forgetPeers(u)
	delete(s.units, name)
	delete(s.waiting, name)
	delete(s.dirty, name)
	s.touchDependents(name)
}

// SetGlobal says that a unit runs on every machine that fits it.
func (s *Scheduler) SetGlobal(name string, r unitfile.Requirements) {
	s.RemoveGlobal(name)
	global := &unit{Unit: Unit{Name: name, Requirements: r}}
	s.globals[name] = global
	for _, u := range s.units {
		if clash(u, global) {
			s.dirty[u.Name] = u
		}
	}
}

// RemoveGlobal says that such a unit is gone.
func (s *Scheduler) RemoveGlobal(name string) {
	if global, there := s.globals[name]; there {
		delete(s.globals, name)
		for id, m := range s.machines { // which have room for others now
			if global.Requirements.Fits(m.Metadata) {
				s.changed[id] = m
			}
		}
	}
}

func (s *Scheduler) forgetPeers(u *unit) {
	for _, peer := range u.Requirements.MachineOf {
		delete(s.dependents[peer], u.Name)
		if len(s.dependents[peer]) == 0 {
			delete(s.dependents, peer)
		}
	}
}

// touch has units looked at again that a newcomer may not leave in peace.
func (s *Scheduler) touch(m *machine, newcomer *unit) {
	for name, u := range m.units {
		if u != newcomer && (isPicky(newcomer) || isPicky(u)) && clash(newcomer, u) {
			s.dirty[name] = u
		}
	}
}

func (s *Scheduler) touchDependents(name string) {
	for dependent, u := range s.dependents[name] {
		s.dirty[dependent] = u
	}
}

// put places a unit on a machine, in what the scheduler knows.
func (s *Scheduler) put(u *unit, m *machine) {
	s.byLoad.Delete(m)
	m.units[u.Name] = u
	s.byLoad.ReplaceOrInsert(m)
	if isPicky(u) {
		m.picky[u.Name] = u
	}
	m.reserve(u, 1)
	u.at, u.Machine = m, m.ID
	delete(s.waiting, u.Name)
}

// take removes a unit from its machine, which has room for others now.
func (s *Scheduler) take(u *unit) {
	m := u.at
	if m == nil {
		return
	}
	s.byLoad.Delete(m)
	delete(m.units, u.Name)
	s.byLoad.ReplaceOrInsert(m)
	delete(m.picky, u.Name)
	m.reserve(u, -1)
	u.at = nil
	s.changed[m.ID] = m
}

func (m *machine) reserve(u *unit, sign int) {
	m.cpus += int64(sign) * thousandths(u.Requirements.CPUs)
	m.memory += int64(sign) * u.Requirements.Memory
	if u.Requirements.MaxPerMachine > 0 {
		m.limited += sign
	}
}

// thousandths of processors add up without rounding.
func thousandths(cpus float64) int64 { return int64(math.Round(cpus * 1000)) }

func isPicky(u *unit) bool {
	return len(u.Requirements.Conflicts) > 0 || len(u.Requirements.Replaces) > 0
}

// clash reports whether two units cannot be on one machine.
func clash(a, b *unit) bool {
	return unitfile.Conflict(a.Name, a.Requirements, b.Name, b.Requirements) ||
		unitfile.Replaces(a.Name, a.Requirements, b.Name) || unitfile.Replaces(b.Name, b.Requirements, a.Name)
}

// names returns the names of units, sorted, so that plans do not depend on chance.
func names(units map[string]*unit) []string {
	all := make([]string, 0, len(units))
	for name := range units {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
