package scheduler

import (
	"cmp"
	"maps"
	"slices"
)

// Plan returns the moves that the changes since the last plan make necessary. The scheduler
// counts them as done; SetUnit corrects a move that was not made.
func (s *Scheduler) Plan() []Move {
	p := &plan{s, map[string]string{}}
	changed := s.changed
	s.changed = map[string]*machine{}
	p.settle()
	maps.Copy(changed, s.changed)
	p.offer(changed)
	return p.moves()
}

// plan remembers where the units that it moves were at the beginning.
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

// settle checks the dirty units until there are none. A unit that moves makes others dirty:
// those that depend on it, and those with which it conflicts.
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

// maxRounds bounds a plan in which units move each other without end.
const maxRounds = 1000

// check leaves a unit on its machine if it can be there, and otherwise moves it.
func (p *plan) check(u *unit) {
	if u.at != nil && p.obstacle(u, u.at) == "" {
		p.requeueConflicting(u.at, u)
		return
	}
	p.move(u, p.best(u, p.emptiestFirst))
}

// offer offers machines that have changed to the waiting units.
func (p *plan) offer(changed map[string]*machine) {
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
				p.move(u, m)
			}
		}
		p.settle()
		changed = p.changed
	}
	p.changed = map[string]*machine{}
}

func (p *plan) emptiestFirst(visit func(*machine) bool) { p.byLoad.Ascend(visit) }

// best returns the first machine that can have a unit, or, if the unit has preferences, the first
// of those that meet most of them. It returns nil if no machine can have the unit.
func (p *plan) best(u *unit, visit func(func(*machine) bool)) *machine {
	var best *machine
	most := -1
	visit(func(m *machine) bool {
		if met := u.Requirements.PreferencesMet(m.Metadata); met > most && p.obstacle(u, m) == "" {
			best, most = m, met
		}
		return most < len(u.Requirements.Prefers)
	})
	return best
}

// move moves a unit to a machine; nil is no machine.
func (p *plan) move(u *unit, m *machine) {
	if _, known := p.from[u.Name]; !known {
		p.from[u.Name] = u.Machine
	}
	p.take(u)
	u.Machine = ""
	if m == nil {
		p.waiting[u.Name] = u
		p.requeueDependents(u.Name)
		return
	}
	p.put(u, m)
	p.requeueConflicting(m, u)
	p.requeueDependents(u.Name)
}
