package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"coreos/internal/fleet/schema"
)

// Machines returns the machines, sorted by ID.
func (r *Registry) Machines(ctx context.Context) ([]schema.Machine, error) {
	var all []schema.Machine
	err := r.freshView(ctx, func(m *mirror) {
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

// Units returns the units, sorted by name.
func (r *Registry) Units(ctx context.Context) ([]schema.Unit, error) {
	var all []schema.Unit
	err := r.freshView(ctx, func(m *mirror) { all = m.units() })
	return all, err
}

func (m *mirror) units() []schema.Unit {
	if m.lists.units == nil {
		m.lists.units = make([]schema.Unit, 0, len(m.model.Jobs))
		for _, name := range slices.Sorted(maps.Keys(m.model.Jobs)) {
			m.lists.units = append(m.lists.units, m.unit(name))
		}
	}
	return m.lists.units
}

// Unit returns one unit.
func (r *Registry) Unit(ctx context.Context, name string) (schema.Unit, error) {
	return viewUnit(ctx, r, name, (*mirror).exists, (*mirror).unit)
}

// Why explains where a unit is. It knows a unit that was destroyed until the last machine has stopped
// it.
func (r *Registry) Why(ctx context.Context, name string) (schema.Reasons, error) {
	known := func(m *mirror, name string) bool { return m.exists(name) || len(m.model.Assignments[name]) > 0 }
	return viewUnit(ctx, r, name, known, (*mirror).why)
}

// viewUnit returns what a function finds in the copy about a unit that is known.
func viewUnit[T any](ctx context.Context, r *Registry, name string, known func(*mirror, string) bool, find func(*mirror, string) T) (found T, err error) {
	there := false
	err = r.freshView(ctx, func(m *mirror) {
		if there = known(m, name); there {
			found = find(m, name)
		}
	})
	if err == nil && !there {
		err = notFound(name)
	}
	return found, err
}

func notFound(name string) error { return fmt.Errorf("unit %s: %w", name, schema.ErrNotFound) }

func (m *mirror) exists(name string) bool {
	_, exists := m.model.Jobs[name]
	return exists
}

func (m *mirror) unit(name string) schema.Unit {
	job := m.model.Jobs[name].Value
	unit := schema.Unit{Name: name, Options: m.model.Units[name].Value.Options, DesiredState: job.Target, MachineID: job.Machine, Finished: job.Finished}
	if job.Global {
		return unit // a global unit has a state on each machine, and no single one
	}
	unit.CurrentState = schema.Inactive
	if job.Target == schema.Inactive && len(m.model.Assignments[name]) > 0 {
		unit.CurrentState = schema.Loaded // a machine has not stopped and removed it yet
	}
	if state, there := m.states[name][job.Machine]; there {
		unit.CurrentState = state.Current
	}
	unit.Problem = m.problem(name, job.Machine)
	return unit
}

// problem returns why a machine does not run the present file of a unit; "" for no reason.
func (m *mirror) problem(name, machine string) string {
	state := m.states[name][machine]
	if state.Hash != m.model.Jobs[name].Value.Hash {
		return "" // it is that of an earlier file
	}
	return state.Problem
}

// States returns the states of all units, sorted by unit and machine.
func (r *Registry) States(ctx context.Context) ([]schema.UnitState, error) {
	var all []schema.UnitState
	err := r.freshView(ctx, func(m *mirror) { all = m.unitStates() })
	return all, err
}

func (m *mirror) unitStates() []schema.UnitState {
	if m.lists.states != nil {
		return m.lists.states
	}
	all := make([]schema.UnitState, 0, len(m.states))
	for _, name := range slices.Sorted(maps.Keys(m.states)) {
		for _, id := range slices.Sorted(maps.Keys(m.states[name])) {
			s := m.states[name][id]
			all = append(all, schema.UnitState{
				Name: name, Hash: s.Hash, MachineID: id, SystemdLoadState: s.Load, SystemdActiveState: s.Active, SystemdSubState: s.Sub,
				Problem: s.Problem,
			})
		}
	}
	m.lists.states = all
	return all
}
