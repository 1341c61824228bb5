package registry

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// Create submits a unit, or replaces the file of one, and sets its desired state.
func (r *Registry) Create(ctx context.Context, by string, unit schema.Unit) error {
	requirements, err := unitfile.RequirementsOf(unit)
	if err != nil {
		return fmt.Errorf("%w: %w", schema.ErrInvalid, err)
	}
	if unit.DesiredState == "" {
		unit.DesiredState = schema.Inactive
	}
	record := store.Unit{Options: unit.Options, Submitted: time.Now().UTC().Truncate(time.Second), By: by}
	return r.changeUnit(ctx, "submitting "+unit.Name, func(m *mirror) (transaction, error) {
		was := m.model.Jobs[unit.Name]
		job := was.Value
		job.Target, job.Hash, job.Global, job.Finished = unit.DesiredState, unitfile.Of(unit).Hash().String(), requirements.Global, ""
		t := r.writeJob(unit.Name, was.Revision, job, requirements)
		t.writes = append(t.writes, clientv3.OpPut(r.store.Unit(unit.Name), store.Encode(record)))
		return t, nil
	})
}

// SetDesired sets the desired state of a unit.
func (r *Registry) SetDesired(ctx context.Context, _, name, state string) error {
	return r.changeUnit(ctx, "changing "+name, func(m *mirror) (transaction, error) {
		was, there := m.model.Jobs[name]
		if !there {
			return transaction{}, notFound(name)
		}
		job := was.Value
		job.Target = state
		if state == schema.Launched && was.Value.Target != state {
			job.Finished = ""
		}
		if job == was.Value {
			return transaction{}, nil
		}
		var requirements unitfile.Requirements
		if job.Global { // Create has checked the requirements
			requirements, _ = unitfile.RequirementsOf(m.unit(name))
		}
		return r.writeJob(name, was.Revision, job, requirements), nil
	})
}

// writeJob writes the job of a unit, and for a global unit the record that machines read.
func (r *Registry) writeJob(name string, revision int64, job store.Job, requirements unitfile.Requirements) transaction {
	global := clientv3.OpDelete(r.store.Global(name))
	if job.Global && job.Target != schema.Inactive {
		global = clientv3.OpPut(r.store.Global(name), store.Encode(store.Global{
			Assignment: store.Assignment{Hash: job.Hash, Target: job.Target},
			Metadata:   requirements.Metadata, Conflicts: requirements.Conflicts,
		}))
	}
	return transaction{
		[]clientv3.Cmp{unchanged(r.store.Job(name), revision)},
		[]clientv3.Op{clientv3.OpPut(r.store.Job(name), store.Encode(job)), global},
	}
}

// unchanged holds if a key still has the value of a revision; 0 stands for no key.
func unchanged(key string, revision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}

// Destroy removes a unit. A machine that has the unit is told to stop it; the leader waits for
// that before it assigns a unit of the same name to another machine.
func (r *Registry) Destroy(ctx context.Context, _, name string) error {
	return r.changeUnit(ctx, "destroying "+name, func(m *mirror) (transaction, error) {
		job, there := m.model.Jobs[name]
		if !there {
			return transaction{}, notFound(name)
		}
		t := transaction{
			[]clientv3.Cmp{unchanged(r.store.Job(name), job.Revision)},
			[]clientv3.Op{
				clientv3.OpDelete(r.store.Job(name)), clientv3.OpDelete(r.store.Unit(name)), clientv3.OpDelete(r.store.Global(name)),
				clientv3.OpDelete(r.store.UnitStates(name), clientv3.WithPrefix()),
			},
		}
		for id, assignment := range m.model.Assignments[name] {
			key := r.store.Assignment(id, name)
			t.conditions = append(t.conditions, unchanged(key, assignment.Revision))
			t.writes = append(t.writes, clientv3.OpPut(key, store.Encode(store.Assignment{Hash: assignment.Value.Hash, Target: schema.Inactive})))
		}
		return t, nil
	})
}
