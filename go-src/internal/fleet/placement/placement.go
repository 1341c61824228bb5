// Package placement keeps a scheduler in step with the records of a cluster. The leader places units
// with it; the registry explains placements with one of its own.
package placement

import (
	"log/slog"

	"coreos/internal/fleet/scheduler"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// Placement is a scheduler that knows the machines and units of a model.
type Placement struct {
	*scheduler.Scheduler
	model *store.Model
	// hashes has the units that the scheduler knows, each with the hash of the file from
	// which it has the requirements.
	hashes map[string]string
}

// New returns a scheduler that knows everything in a model.
func New(model *store.Model) *Placement {
	p := &Placement{scheduler.New(), model, map[string]string{}}
	for id := range model.Machines {
		p.UpdateMachine(id)
	}
	for name := range model.Jobs {
		p.UpdateUnit(name)
	}
	return p
}

// UpdateMachine tells the scheduler what the model says about a machine.
func (p *Placement) UpdateMachine(id string) {
	m, there := p.model.Machines[id]
	if !there {
		p.RemoveMachine(id)
		return
	}
	_, drained := p.model.Drains[id]
	p.SetMachine(scheduler.Machine{
		ID: id, Metadata: p.model.MachineMetadata(id), CPUs: m.Value.CPUs, Memory: m.Value.Memory, MaxUnits: m.Value.MaxUnits, Drained: drained,
	})
}

// UpdateUnit tells the scheduler what the model says about a unit. A unit that the scheduler has
// placed stays there, because nobody else places units.
func (p *Placement) UpdateUnit(name string) {
	job := p.model.Jobs[name].Value
	if !wanted(job) || job.Finished != "" && !p.Alive(job.Machine) {
		p.remove(name)
		return
	}
	if p.hashes[name] == job.Hash {
		return
	}
	file, there := p.model.Units[name]
	if !there {
		return // the record is damaged
	}
	machine := job.Machine
	if place, ok := p.Place(name); ok {
		machine = place
	}
	p.remove(name)
	requirements, err := unitfile.RequirementsOf(schema.Unit{Name: name, Options: file.Value.Options})
	if err != nil {
		slog.Warn("a unit cannot be placed: submit it again", "unit", name, "error", err)
		return
	}
	p.hashes[name] = job.Hash
	if job.Global {
		p.SetGlobal(name, requirements)
		return
	}
	p.SetUnit(scheduler.Unit{Name: name, Requirements: requirements, Machine: machine})
}

// remove makes the scheduler forget a unit.
func (p *Placement) remove(name string) {
	p.RemoveUnit(name)
	p.RemoveGlobal(name)
	delete(p.hashes, name)
}

// wanted reports whether a unit has to be on a machine.
func wanted(job store.Job) bool {
	return job.Target == schema.Loaded || job.Target == schema.Launched
}

// Alive reports whether a machine is in the cluster.
func (p *Placement) Alive(id string) bool {
	_, there := p.model.Machines[id]
	return there
}
