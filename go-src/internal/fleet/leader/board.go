package leader

import (
	"log/slog"

	"coreos/internal/fleet/scheduler"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// Board shows the scheduler what is in etcd.
type Board struct {
	*scheduler.Scheduler
	model *store.Model
	// placed is what the scheduler has to place, with the hash of the file from which its
	// requirements are.
	placed map[string]string
}

// NewBoard shows a scheduler all of a model.
func NewBoard(model *store.Model) *Board {
	b := &Board{scheduler.New(), model, map[string]string{}}
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
	b.SetMachine(scheduler.Machine{
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
	requirements, err := unitfile.RequirementsOf(schema.Unit{Name: name, Options: file.Value.Options})
	if err != nil {
		slog.Warn("a unit cannot be placed: submit it again", "unit", name, "error", err)
		return
	}
	b.placed[name] = job.Hash
	if job.Global {
		b.SetGlobal(name, requirements)
		return
	}
	b.SetUnit(scheduler.Unit{Name: name, Requirements: requirements, Machine: at})
}

// remove takes a unit from the board.
func (b *Board) remove(name string) {
	b.RemoveUnit(name)
	b.RemoveGlobal(name)
	delete(b.placed, name)
}

// wanted reports whether a unit has to be on machines.
func wanted(job store.Job) bool {
	return (job.Target == schema.Loaded || job.Target == schema.Launched)
}

func (b *Board) alive(id string) bool {
	_, there := b.model.Machines[id]
	return there
}
