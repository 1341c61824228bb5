package scheduler

// Rebalance moves units from the fullest machine to emptier ones for as long as that makes
// their numbers more equal, and takes it as done.
func (s *Scheduler) Rebalance() []Move {
	p := &plan{s, map[string]string{}}
	for range len(s.units) {
		if !p.even() {
			break
		}
	}
	return p.moves()
}

// even moves one unit away from the fullest machine, and reports whether one could be. What
// other units depend on stays where it is.
func (p *plan) even() bool {
	full, ok := p.byLoad.Max()
	if !ok {
		return false
	}
	for _, name := range names(full.units) {
		u := full.units[name]
		r := u.Requirements
		if len(r.MachineOf) > 0 || len(r.Replaces) > 0 || len(p.dependents[name]) > 0 {
			continue
		}
		to := p.best(u, func(visit func(*machine) bool) {
			p.byLoad.Ascend(func(m *machine) bool { return len(m.units)+1 < len(full.units) && visit(m) })
		})
		if to != nil && r.Pleased(to.Metadata) >= r.Pleased(full.Metadata) {
			p.place(u, to)
			return true
		}
	}
	return false
}
