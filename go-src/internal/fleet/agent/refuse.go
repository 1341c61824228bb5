package agent

import (
	"errors"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// noteRefusal notes the problem of a unit if an action has ended because systemd refuses the unit. If
// systemd has none of the unit, its state is written from what is known here; else from what systemd
// reports.
func (a *Agent) noteRefusal(name string, u *unit, err error) {
	var refused Refused
	if !errors.As(err, &refused) {
		return
	}
	u.problem = refused.Reason
	if u.hash == "" {
		u.current = store.State{Hash: u.want.Hash, Load: "error", Current: schema.Inactive}
		u.refuse(u.problem)
		a.markDirty(name)
	}
}

// refuse makes the current state of a unit that of one that systemd refuses. systemd calls such a unit
// inactive, as one that nobody has started.
func (u *unit) refuse(problem string) {
	u.current.Problem, u.current.Active, u.current.Sub = problem, "failed", "refused"
	if u.current.Load != "loaded" {
		u.current.Sub = u.current.Load
	}
}
