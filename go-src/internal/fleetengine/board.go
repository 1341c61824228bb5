package fleetengine

import (
	"log/slog"

	"coreos/internal/fleetapi"
	"coreos/internal/fleetscheduler"
	"coreos/internal/fleetstore"
)

// Board shows the scheduler what is in etcd.
type Board struct {
	*fleetscheduler.Scheduler
	model *fleetstore.Model
	// placed is what the scheduler has to place, with the hash of the file from which its
	// requirements are.
	placed map[string]string
}

// NewBoard shows a scheduler all of a model.
func NewBoard(model *fleetstore.Model) *Board {
	b := &Board{fleetscheduler.New(), model, map[string]string{}}
	for id := range model.Machines {
		b.machine(id)
	}
	for name := range model.Jobs {
		b.unit(name)
	}
	return b
}

// machine shows what became of a machine.
func (b *Board) machine(id string) {
	m, there := b.model.Machines[id]
	if !there {
		b.RemoveMachine(id)
		return
	}
	_, drained := b.model.Drains[id]
	b.SetMachine(fleetscheduler.Machine{
		ID: id, Metadata: b.model.MachineMetadata(id), CPUs: m.Value.CPUs, Memory: m.Value.Memory, MaxUnits: m.Value.MaxUnits, Drained: drained,
	})
}

// unit shows what became of a unit. Where the scheduler placed it before it leaves it: only
// the leader places units.
func (b *Board) unit(name string) {
	job := b.model.Jobs[name].Value
	if !wanted(job) || job.Finished != "" && !b.alive(job.Machine) {
		b.remove(name)
		return
	}
	if b.placed[name] == job.Hash {
		return
	}
	file, there := b.model.Units[name]
	if !there {
		return // its record is damaged
	}
	at := job.Machine
	if place, ok := b.Place(name); ok {
		at = place
	}
	b.remove(name)
	requirements, err := fleetapi.Unit{Name: name, Options: file.Value.Options}.Requirements()
	if err != nil {
		slog.Warn("a unit cannot be placed: submit it again", "unit", name, "error", err)
		return
	}
	b.placed[name] = job.Hash
	if job.Global {
		b.SetGlobal(name, requirements)
		return
	}
	b.SetUnit(fleetscheduler.Unit{Name: name, Requirements: requirements, Machine: at})
}

// remove takes a unit from the board.
func (b *Board) remove(name string) {
	b.RemoveUnit(name)
	b.RemoveGlobal(name)
	delete(b.placed, name)
}

// wanted reports whether a unit has to be on machines.
func wanted(job fleetstore.Job) bool {
	return (job.Target == fleetapi.Loaded || job.Target == fleetapi.Launched)
}

func (b *Board) alive(id string) bool {
	_, there := b.model.Machines[id]
	return there
}
