package slot

import "strings"

// Action is what to do about the health of the machine.
type Action int

// The actions.
const (
	Proven Action = iota // healthy: give the slot all its tries
	Retry                // unhealthy and on trial: restart, which uses the remaining tries
	Stay                 // unhealthy, and a restart would not help: stay up, so that the operator can see why
)

// Decide returns what to do about the running slot, given the health of the machine. It
// returns Retry only for a slot on trial while the other slot is proven. A machine that was
// healthy yesterday and has a failing unit today, or that has no other slot, serves its
// operator better when it stays reachable.
func (s States) Decide(running Name, healthy bool) Action {
	switch {
	case healthy:
		return Proven
	case !s.Slots[running].OK && s.Slots[running.Other()].OK:
		return Retry
	default:
		return Stay
	}
}

// Reason joins the names of failed checks into a reason for the boot state.
func Reason(failed []string) string { return "unhealthy:" + strings.Join(failed, ",") }
