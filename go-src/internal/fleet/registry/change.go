package registry

import (
	"context"
	"fmt"
	"maps"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/placement"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// Create implements api.Cluster.
func (r *Registry) Create(ctx context.Context, by string, unit schema.Unit) error {
	requirements, err := unitfile.RequirementsOf(unit)
	if err != nil {
		return fmt.Errorf("%w: %w", schema.ErrInvalid, err)
	}
	if unit.DesiredState == "" {
		unit.DesiredState = schema.Inactive
	}
	record := store.Unit{Options: unit.Options, Submitted: time.Now().UTC().Truncate(time.Second), By: by}
	return r.changeUnit(ctx, "submitting "+unit.Name, func(m *mirror) ([]clientv3.Cmp, []clientv3.Op, error) {
		was := m.model.Jobs[unit.Name]
		job := was.Value
		job.Target, job.Hash, job.Global, job.Finished = unit.DesiredState, unitfile.Of(unit).Hash().String(), requirements.Global, ""
		is, then := r.job(unit.Name, was.Revision, job, requirements)
		return is, append(then, clientv3.OpPut(r.store.Unit(unit.Name), store.Encode(record))), nil
	})
}

// SetDesired implements api.Cluster.
func (r *Registry) SetDesired(ctx context.Context, by, name, state string) error {
	return r.changeUnit(ctx, "changing "+name, func(m *mirror) ([]clientv3.Cmp, []clientv3.Op, error) {
		was, there := m.model.Jobs[name]
		if !there {
			return nil, nil, notFound(name)
		}
		job := was.Value
		job.Target = state
		if state == schema.Launched && was.Value.Target != state {
			job.Finished = ""
		}
		if job == was.Value {
			return nil, nil, nil
		}
		var requirements unitfile.Requirements
		if job.Global { // what was taken is right
			requirements, _ = unitfile.RequirementsOf(m.unit(name))
		}
		is, then := r.job(name, was.Revision, job, requirements)
		return is, then, nil
	})
}

// job writes a unit's job, and for a global one what the machines read of it.
func (r *Registry) job(name string, revision int64, job store.Job, requirements unitfile.Requirements) ([]clientv3.Cmp, []clientv3.Op) {
	then := []clientv3.Op{clientv3.OpPut(r.store.Job(name), store.Encode(job))}
	if job.Global && job.Target != schema.Inactive {
		global := store.Global{
			Assignment: store.Assignment{Hash: job.Hash, Target: job.Target},
			Metadata:   requirements.Metadata, Conflicts: requirements.Conflicts,
		}
		then = append(then, clientv3.OpPut(r.store.Global(name), store.Encode(global)))
	} else {
		then = append(then, clientv3.OpDelete(r.store.Global(name)))
	}
	return []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(r.store.Job(name)), "=", revision)}, then
}

// Destroy implements api.Cluster. A machine that has the unit is told to stop it, and
// the leader waits for that before it gives a unit of the same name to another one.
func (r *Registry) Destroy(ctx context.Context, by, name string) error {
	return r.changeUnit(ctx, "destroying "+name, func(m *mirror) ([]clientv3.Cmp, []clientv3.Op, error) {
		job, there := m.model.Jobs[name]
		if !there {
			return nil, nil, notFound(name)
		}
		is := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(r.store.Job(name)), "=", job.Revision)}
		then := []clientv3.Op{
			clientv3.OpDelete(r.store.Job(name)), clientv3.OpDelete(r.store.Unit(name)), clientv3.OpDelete(r.store.Global(name)),
			clientv3.OpDelete(r.store.UnitStates(name), clientv3.WithPrefix()),
		}
		for id, assignment := range m.model.Assignments[name] {
			key := r.store.Assignment(id, name)
			is = append(is, clientv3.Compare(clientv3.ModRevision(key), "=", assignment.Revision))
			then = append(then, clientv3.OpPut(key, store.Encode(store.Assignment{Hash: assignment.Value.Hash, Target: schema.Inactive})))
		}
		return is, then, nil
	})
}

// SetMetadata implements api.Cluster.
func (r *Registry) SetMetadata(ctx context.Context, by string, changes []schema.MetadataChange) error {
	return r.change(ctx, "changing metadata", func(m *mirror) (is []clientv3.Cmp, then []clientv3.Op, err error) {
		given := map[string]map[string]string{}
		for _, change := range changes {
			id := change.MachineID
			if _, there := m.model.Machines[id]; !there {
				return nil, nil, fmt.Errorf("machine %s: %w", id, schema.ErrNotFound)
			}
			if given[id] == nil {
				given[id] = map[string]string{}
				maps.Copy(given[id], m.model.Metadata[id].Value)
				is = append(is, clientv3.Compare(clientv3.ModRevision(r.store.Metadata(id)), "=", m.model.Metadata[id].Revision))
			}
			if change.Value == "" {
				delete(given[id], change.Key)
			} else {
				given[id][change.Key] = change.Value
			}
		}
		for id, metadata := range given {
			if len(metadata) == 0 {
				then = append(then, clientv3.OpDelete(r.store.Metadata(id)))
			} else {
				then = append(then, clientv3.OpPut(r.store.Metadata(id), store.Encode(metadata)))
			}
		}
		return is, then, nil
	})
}

// SetDrain implements api.Cluster.
func (r *Registry) SetDrain(ctx context.Context, by, id string, drain *schema.DrainRequest) error {
	return r.change(ctx, "draining "+id, func(m *mirror) ([]clientv3.Cmp, []clientv3.Op, error) {
		is, drained := m.model.Drains[id]
		machine, there := m.model.Machines[id]
		unchanged := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(r.store.Drain(id)), "=", is.Revision)}
		switch {
		case drain != nil && drained, drain == nil && !drained && there:
			return nil, nil, nil
		case drain != nil && there:
			record := store.Drain{Reason: drain.Reason, By: by, Since: time.Now().UTC().Truncate(time.Second)}
			if drain.UntilRestart {
				record.Boot = machine.Value.Boot
			}
			return unchanged, []clientv3.Op{clientv3.OpPut(r.store.Drain(id), store.Encode(record))}, nil
		case drain == nil && drained: // of a machine that is away, too
			return unchanged, []clientv3.Op{clientv3.OpDelete(r.store.Drain(id))}, nil
		}
		return nil, nil, fmt.Errorf("machine %s: %w", id, schema.ErrNotFound)
	})
}

// Rebalance implements api.Cluster: the leader does it. The number is of what is in
// etcd now, and may differ from what the leader finds.
func (r *Registry) Rebalance(ctx context.Context, by string) (moves int, err error) {
	err = r.change(ctx, "rebalancing", func(m *mirror) ([]clientv3.Cmp, []clientv3.Op, error) {
		if moves = len(placement.New(m.model).Rebalance()); moves == 0 {
			return nil, nil, nil
		}
		return nil, []clientv3.Op{clientv3.OpPut(r.store.Rebalance(), store.Encode(by))}, nil
	})
	return moves, err
}
