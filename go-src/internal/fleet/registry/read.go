package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"coreos/internal/fleet/placement"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// Machines implements api.Cluster.
func (r *Registry) Machines(ctx context.Context) ([]schema.Machine, error) {
	var all []schema.Machine
	err := r.view(ctx, func(m *mirror) {
		units := map[string]int{}
		for _, job := range m.model.Jobs {
			units[job.Value.Machine]++
		}
		for _, id := range slices.Sorted(maps.Keys(m.model.Machines)) {
			is := m.model.Machines[id].Value
			machine := schema.Machine{
				ID: id, PrimaryIP: is.PublicIP, Metadata: m.model.MachineMetadata(id), Version: is.Version,
				CPUs: is.CPUs, Memory: is.Memory, Units: units[id],
			}
			if drain, drained := m.model.Drains[id]; drained {
				machine.Drain = &drain.Value
			}
			all = append(all, machine)
		}
	})
	return all, err
}

// Units implements api.Cluster.
func (r *Registry) Units(ctx context.Context) ([]schema.Unit, error) {
	var all []schema.Unit
	err := r.view(ctx, func(m *mirror) { all = m.units() })
	return all, err
}

func (m *mirror) units() []schema.Unit {
	if m.listed.units == nil {
		m.listed.units = make([]schema.Unit, 0, len(m.model.Jobs))
		for _, name := range slices.Sorted(maps.Keys(m.model.Jobs)) {
			m.listed.units = append(m.listed.units, m.unit(name))
		}
	}
	return m.listed.units
}

// Unit implements api.Cluster.
func (r *Registry) Unit(ctx context.Context, name string) (unit schema.Unit, err error) {
	there := false
	err = r.view(ctx, func(m *mirror) {
		if _, there = m.model.Jobs[name]; there {
			unit = m.unit(name)
		}
	})
	if err == nil && !there {
		err = notFound(name)
	}
	return unit, err
}

func notFound(name string) error { return fmt.Errorf("unit %s: %w", name, schema.ErrNotFound) }

func (m *mirror) unit(name string) schema.Unit {
	job := m.model.Jobs[name].Value
	unit := schema.Unit{Name: name, Options: m.model.Units[name].Value.Options, DesiredState: job.Target, MachineID: job.Machine, Finished: job.Finished}
	if job.Global {
		return unit // it is in as many states as there are machines
	}
	unit.CurrentState = schema.Inactive
	if state, there := m.states[name][job.Machine]; there {
		unit.CurrentState = state.Current
	}
	return unit
}

// States implements api.Cluster.
func (r *Registry) States(ctx context.Context) ([]schema.UnitState, error) {
	var all []schema.UnitState
	err := r.view(ctx, func(m *mirror) { all = m.unitStates() })
	return all, err
}

func (m *mirror) unitStates() []schema.UnitState {
	if m.listed.states != nil {
		return m.listed.states
	}
	all := make([]schema.UnitState, 0, len(m.states))
	for _, name := range slices.Sorted(maps.Keys(m.states)) {
		for _, id := range slices.Sorted(maps.Keys(m.states[name])) {
			s := m.states[name][id]
			all = append(all, schema.UnitState{
				Name: name, Hash: s.Hash, MachineID: id, SystemdLoadState: s.Load, SystemdActiveState: s.Active, SystemdSubState: s.Sub,
			})
		}
	}
	m.listed.states = all
	return all
}

// Why implements api.Cluster.
func (r *Registry) Why(ctx context.Context, name string) (reasons schema.Reasons, err error) {
	there := false
	err = r.view(ctx, func(m *mirror) {
		if _, there = m.model.Jobs[name]; there {
			reasons = m.why(name)
		}
	})
	if err == nil && !there {
		err = notFound(name)
	}
	return reasons, err
}

func (m *mirror) why(name string) schema.Reasons {
	job := m.model.Jobs[name].Value
	switch {
	case job.Target == schema.Inactive:
		return schema.Reasons{Name: name, Summary: "nobody wants it on a machine: load or start it"}
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
	if other := m.states[name][job.Machine].Waiting; other != "" {
		reasons.Summary = fmt.Sprintf("it is on %s, and waits for %s", job.Machine, other)
	}
	for _, id := range slices.Sorted(maps.Keys(m.model.Assignments[name])) {
		if id != job.Machine {
			reasons.Summary = fmt.Sprintf("it waits until %s has stopped it", id)
		}
	}
	return reasons
}

// whyGlobal says which machines do not have a global unit, and where it waits.
func (m *mirror) whyGlobal(name string) schema.Reasons {
	reasons := schema.Reasons{Name: name}
	globals := map[string]unitfile.Requirements{}
	for other, job := range m.model.Jobs {
		if job.Value.Global && job.Value.Target != schema.Inactive {
			globals[other], _ = unitfile.RequirementsOf(m.unit(other)) // those of a unit that was taken are right
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
			if other := m.states[name][id].Waiting; other != "" {
				reason.Reason = "it waits for " + other
			}
		}
		reasons.Machines = append(reasons.Machines, reason)
	}
	reasons.Summary = fmt.Sprintf("it is global, and on %d of %d machines", can, len(m.model.Machines))
	return reasons
}
