package registry

import (
	"fmt"
	"maps"
	"slices"

	"coreos/internal/fleet/placement"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// why explains where a unit is, or, if it does not exist any more, which machine is stopping it.
func (m *mirror) why(name string) schema.Reasons {
	job := m.model.Jobs[name].Value
	holders := slices.Sorted(maps.Keys(m.model.Assignments[name]))
	switch {
	case !m.exists(name):
		return schema.Reasons{Name: name, Summary: "it is destroyed, and waits until " + holders[0] + " has stopped it"}
	case job.Target == schema.Inactive && !job.Global && len(holders) > 0:
		return schema.Reasons{Name: name, Summary: "it waits until " + holders[0] + " has stopped it"}
	case job.Target == schema.Inactive:
		return schema.Reasons{Name: name, Summary: "its desired state is inactive: load or start it"}
	case job.Global:
		return m.whyGlobal(name)
	}
	reasons, known := placement.New(m.model).Why(name)
	if !known {
		return schema.Reasons{Name: name, Summary: "its unit file cannot be used: submit it again"}
	}
	if job.Finished != "" {
		reasons.Summary = "it has run once and finished; start it to have it run again"
	}
	switch problem, other := m.problem(name, job.Machine), m.states[name][job.Machine].Waiting; {
	case problem != "":
		reasons.Summary = fmt.Sprintf("it is on %s, and does not run: %s", job.Machine, problem)
	case other != "":
		reasons.Summary = fmt.Sprintf("it is on %s, and waits for %s", job.Machine, other)
	}
	for _, id := range holders {
		if id != job.Machine {
			reasons.Summary = fmt.Sprintf("it waits until %s has stopped it", id)
		}
	}
	return reasons
}

// whyGlobal says which machines do not run a global unit, and where it waits for another unit.
func (m *mirror) whyGlobal(name string) schema.Reasons {
	reasons := schema.Reasons{Name: name}
	globals := map[string]unitfile.Requirements{}
	for other, job := range m.model.Jobs {
		if job.Value.Global && job.Value.Target != schema.Inactive {
			globals[other], _ = unitfile.RequirementsOf(m.unit(other)) // Create has checked them
		}
	}
	can := 0
	for _, id := range slices.Sorted(maps.Keys(m.model.Machines)) {
		reason := schema.MachineReason{MachineID: id}
		switch conflict, fits := unitfile.GlobalConflicts(globals, m.model.MachineMetadata(id))[name]; {
		case !fits:
			reason.Reason = "its metadata do not fit"
		case conflict != "":
			reason.Reason = "it conflicts with " + conflict
		default:
			can++
			switch problem, other := m.problem(name, id), m.states[name][id].Waiting; {
			case problem != "":
				reason.Reason = problem
			case other != "":
				reason.Reason = "it waits for " + other
			}
		}
		reasons.Machines = append(reasons.Machines, reason)
	}
	reasons.Summary = fmt.Sprintf("it is global, and on %d of %d machines", can, len(m.model.Machines))
	return reasons
}
