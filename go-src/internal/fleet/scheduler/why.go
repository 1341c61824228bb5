package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"coreos/internal/fleet/schema"
)

// Why explains why a unit is on its machine, or on none. ok is false for an unknown unit.
func (s *Scheduler) Why(name string) (reasons schema.Reasons, ok bool) {
	u := s.units[name]
	if u == nil {
		return reasons, false
	}
	reasons.Name = name
	can := 0
	for _, id := range slices.Sorted(maps.Keys(s.machines)) {
		reason := s.obstacle(u, s.machines[id])
		if reason == "" {
			can++
		}
		reasons.Machines = append(reasons.Machines, schema.MachineReason{MachineID: id, Reason: reason})
	}
	switch {
	case u.at != nil:
		reasons.MachineID = u.at.ID
		reasons.Summary = fmt.Sprintf("it is assigned to %s; %d of %d machines can have it", u.at.ID, can, len(s.machines))
	case len(s.machines) == 0:
		reasons.Summary = "there are no machines"
	case can == 0:
		reasons.Summary = fmt.Sprintf("none of %d machines can have it", len(s.machines))
	default:
		reasons.Summary = "it is about to be assigned to a machine"
	}
	return reasons, true
}

// Place returns the machine of a unit; "" if it is on none. ok is false for an unknown unit.
func (s *Scheduler) Place(name string) (machine string, ok bool) {
	u := s.units[name]
	switch {
	case u == nil:
		return "", false
	case u.at == nil:
		return "", true
	}
	return u.at.ID, true
}
