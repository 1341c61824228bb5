package scheduler

// Rebalance moves units from the fullest machine to emptier ones as long as that makes their
// numbers more equal. The scheduler counts the moves as done.
func (s *Scheduler) Rebalance() []Move {
	p := &plan{s, map[string]string{}}
	for range len(s.units) {
		if !p.rebalanceOne() {
			break
		}
	}
	return p.moves()
}

// rebalanceOne moves one unit away from the fullest machine, and reports whether it could. It
// moves no unit on which others depend.
func (p *plan) rebalanceOne() bool {
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
		if to != nil && r.PreferencesMet(to.Metadata) >= r.PreferencesMet(full.Metadata) {
			p.move(u, to)
			return true
		}
	}
	return false
}
