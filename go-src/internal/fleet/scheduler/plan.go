package scheduler

import (
	"cmp"
	"maps"
	"slices"
)

// Plan returns what has to be moved since the last plan, and takes it as done. SetUnit
// corrects what was not.
func (s *Scheduler) Plan() []Move {
	p := &plan{s, map[string]string{}}
	changed := s.changed
	s.changed = map[string]*machine{}
	p.settle()
	maps.Copy(changed, s.changed)
	p.retry(changed)
	return p.moves()
}

// plan remembers where units were when it began.
type plan struct {
	*Scheduler
	from map[string]string
}

func (p *plan) moves() []Move {
	var all []Move
	for _, name := range slices.Sorted(maps.Keys(p.from)) {
		to := ""
		if u := p.units[name]; u.at != nil {
			to = u.at.ID
		}
		if from := p.from[name]; from != to {
			all = append(all, Move{name, from, to})
		}
	}
	return all
}

// settle checks the units whose circumstances changed, until none are left: a unit that
// moved may have others follow it or leave.
func (p *plan) settle() {
	for range maxRounds {
		if len(p.dirty) == 0 {
			return
		}
		dirty := p.dirty
		p.dirty = map[string]*unit{}
		for _, name := range names(dirty) {
			if u := dirty[name]; p.units[name] == u {
				p.check(u)
			}
		}
	}
}

// maxRounds bounds a plan, should units chase each other in a way that nobody thought of.
const maxRounds = 1000

// check leaves a unit where it is if it can be there, or finds another place for it.
func (p *plan) check(u *unit) {
	if u.at != nil && p.obstacle(u, u.at) == "" {
		p.touch(u.at, u)
		return
	}
	p.place(u, p.best(u, p.emptiestFirst))
}

// retry offers the machines that changed to the units that wait.
func (p *plan) retry(changed map[string]*machine) {
	for len(changed) > 0 && len(p.waiting) > 0 {
		order := slices.SortedFunc(maps.Values(changed), func(a, b *machine) int {
			return cmp.Or(cmp.Compare(len(a.units), len(b.units)), cmp.Compare(a.ID, b.ID))
		})
		p.changed = map[string]*machine{}
		for _, name := range names(p.waiting) {
			u := p.waiting[name]
			if m := p.best(u, func(visit func(*machine) bool) {
				for _, m := range order {
					if p.machines[m.ID] == m && !visit(m) {
						return
					}
				}
			}); m != nil {
				p.place(u, m)
			}
		}
		p.settle()
		changed = p.changed
	}
	p.changed = map[string]*machine{}
}

func (p *plan) emptiestFirst(visit func(*machine) bool) { p.byLoad.Ascend(visit) }

// best returns the machine for a unit: the first that can have it, or, if the unit prefers
// some, the first of those that please it most. nil if there is none.
func (p *plan) best(u *unit, visit func(func(*machine) bool)) *machine {
	var best *machine
	most := -1
	visit(func(m *machine) bool {
		if pleases := u.Requirements.Pleased(m.Metadata); pleases > most && p.obstacle(u, m) == "" {
			best, most = m, pleases
		}
		return most < u.Requirements.Wishes()
	})
	return best
}

// place moves a unit to a machine, nil for none.
func (p *plan) place(u *unit, m *machine) {
	if _, known := p.from[u.Name]; !known {
		p.from[u.Name] = u.Machine
	}
	p.take(u)
	u.Machine = ""
	if m == nil {
		p.waiting[u.Name] = u
		p.touchDependents(u.Name)
		return
	}
	p.put(u, m)
	p.touch(m, u)
	p.touchDependents(u.Name)
}
