package leader

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// maxSteps bounds the steps of one transaction. etcd takes 128 operations, counting those
// of a step inside on top of all the steps.
const maxSteps = 80

// step is what is next for one unit.
type step struct {
	name string
	is   []clientv3.Cmp // what has to be as it was
	then []clientv3.Op
}

// steps returns what is next for the units that are due.
func (t *turn) steps() []step {
	var all []step
	for _, name := range slices.Sorted(maps.Keys(t.due)) {
		if t.sent[name] > t.model.Revision {
			continue // stays due until what was sent has come back
		}
		delete(t.due, name)
		delete(t.sent, name)
		if s := t.step(name); len(s.then) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// step compares where a unit has to be with its assignments.
func (t *turn) step(name string) step {
	s := step{name: name}
	job, there := t.model.Jobs[name]
	place, _ := t.board.Place(name)
	s.is = append(s.is, clientv3.Compare(clientv3.ModRevision(t.Store.Job(name)), "=", job.Revision))
	occupied := false
	for _, id := range slices.Sorted(maps.Keys(t.model.Assignments[name])) {
		if id == place {
			continue
		}
		occupied = t.clear(&s, id) || occupied
	}
	at := place
	if occupied {
		at = "" // it waits until it was stopped where it is
	}
	if at != "" {
		t.assign(&s, at, job.Value)
	}
	if there && job.Value.Machine != at {
		job.Value.Machine = at
		s.then = append(s.then, clientv3.OpPut(t.Store.Job(name), store.Encode(job.Value)))
	}
	return s
}

// clear takes a unit away from a machine where it must not be. It reports whether the unit
// may still run there.
func (t *turn) clear(s *step, id string) bool {
	key, is := t.Store.Assignment(id, s.name), t.model.Assignments[s.name][id]
	unchanged := clientv3.Compare(clientv3.ModRevision(key), "=", is.Revision)
	if !t.board.alive(id) {
		s.is = append(s.is, unchanged, clientv3.Compare(clientv3.CreateRevision(t.Store.Machine(id)), "=", 0))
		s.then = append(s.then, clientv3.OpDelete(key), clientv3.OpDelete(t.Store.State(s.name, id)))
		return false
	}
	if is.Value.Target != schema.Inactive {
		s.is = append(s.is, unchanged)
		s.then = append(s.then, clientv3.OpPut(key, store.Encode(store.Assignment{Hash: is.Value.Hash, Target: schema.Inactive})))
	}
	return true
}

// assign gives a unit to a machine.
func (t *turn) assign(s *step, id string, job store.Job) {
	want := store.Assignment{Hash: job.Hash, Target: job.Target}
	if job.Finished != "" {
		want.Target = schema.Loaded
	}
	if is, there := t.model.Assignments[s.name][id]; there && is.Value == want {
		return
	}
	s.then = append(s.then, clientv3.OpPut(t.Store.Assignment(id, s.name), store.Encode(want)))
}

// commit makes steps in one transaction, each of them if nothing came in between. What
// came in between is on its way here, and has the unit looked at again.
func (t *turn) commit(ctx context.Context, steps []step) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	ops := make([]clientv3.Op, len(steps))
	for i, s := range steps {
		ops[i] = clientv3.OpTxn(s.is, s.then, nil)
	}
	answer, err := t.Store.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(t.Store.Leader()), "=", t.term)).Then(ops...).Commit()
	if err != nil {
		return err // whether it was done will be seen: all is read again
	}
	if !answer.Succeeded {
		return errNotLeader
	}
	for i, response := range answer.Responses {
		name := steps[i].name
		if !response.GetResponseTxn().Succeeded {
			slog.Debug("a unit changed meanwhile", "unit", name)
			t.due[name] = true
			continue
		}
		t.sent[name] = answer.Header.Revision
		t.Metrics.step()
	}
	return nil
}
