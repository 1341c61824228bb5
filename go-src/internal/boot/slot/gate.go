package slot

import "strings"

// Action is what follows from a machine's health.
type Action int

// The actions.
const (
	Proven Action = iota // healthy: the slot gets all its tries back
	Retry                // unhealthy on trial: restart into the remaining tries
	Stay                 // unhealthy, but no restart could help: stay up and be seen
)

// Decide says what to do about the running slot once the machine's health is
// known. Only a slot on trial, with a proven one to fall back to, is worth a
// restart: a machine that was fine yesterday and runs a failing unit today, or
// has no other slot, serves its operator better when it stays reachable.
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
