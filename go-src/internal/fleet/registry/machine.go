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
)

// SetMetadata makes all of the changes to machines' metadata or none.
func (r *Registry) SetMetadata(ctx context.Context, _ string, changes []schema.MetadataChange) error {
	return r.change(ctx, "changing metadata", func(m *mirror) (t transaction, err error) {
		given := map[string]map[string]string{}
		for _, change := range changes {
			id := change.MachineID
			if _, there := m.model.Machines[id]; !there {
				return transaction{}, machineNotFound(id)
			}
			if given[id] == nil {
				given[id] = map[string]string{}
				maps.Copy(given[id], m.model.Metadata[id].Value)
				t.conditions = append(t.conditions, unchanged(r.store.Metadata(id), m.model.Metadata[id].Revision))
			}
			if change.Value == "" {
				delete(given[id], change.Key)
			} else {
				given[id][change.Key] = change.Value
			}
		}
		for id, metadata := range given {
			if len(metadata) == 0 {
				t.writes = append(t.writes, clientv3.OpDelete(r.store.Metadata(id)))
			} else {
				t.writes = append(t.writes, clientv3.OpPut(r.store.Metadata(id), store.Encode(metadata)))
			}
		}
		return t, nil
	})
}

func machineNotFound(id string) error { return fmt.Errorf("machine %s: %w", id, schema.ErrNotFound) }

// SetDrain begins a drain, or ends it if drain is nil. The drain of a machine that has left the
// cluster can be ended, too.
func (r *Registry) SetDrain(ctx context.Context, by, id string, drain *schema.DrainRequest) error {
	return r.change(ctx, "draining "+id, func(m *mirror) (transaction, error) {
		is, drained := m.model.Drains[id]
		machine, there := m.model.Machines[id]
		t := transaction{conditions: []clientv3.Cmp{unchanged(r.store.Drain(id), is.Revision)}}
		switch {
		case drain != nil && drained, drain == nil && !drained && there:
		case drain != nil && there:
			record := store.Drain{Reason: drain.Reason, By: by, Since: time.Now().UTC().Truncate(time.Second)}
			if drain.UntilRestart {
				record.Boot = machine.Value.Boot
			}
			t.writes = append(t.writes, clientv3.OpPut(r.store.Drain(id), store.Encode(record)))
		case drain == nil && drained:
			t.writes = append(t.writes, clientv3.OpDelete(r.store.Drain(id)))
		default:
			return transaction{}, machineNotFound(id)
		}
		return t, nil
	})
}

// Rebalance asks the leader to rebalance. It returns the number of moves that follow from the
// copy; the leader may find another number.
func (r *Registry) Rebalance(ctx context.Context, by string) (moves int, err error) {
	err = r.change(ctx, "rebalancing", func(m *mirror) (transaction, error) {
		if moves = len(placement.New(m.model).Rebalance()); moves == 0 {
			return transaction{}, nil
		}
		return transaction{writes: []clientv3.Op{clientv3.OpPut(r.store.Rebalance(), store.Encode(by))}}, nil
	})
	return moves, err
}
