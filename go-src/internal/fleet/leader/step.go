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

// maxSteps bounds the steps of one transaction. etcd takes 128 operations; it counts the steps,
// and the operations of the largest step.
const maxSteps = 80

// step is the next change to the records of one unit.
type step struct {
	name       string
	conditions []clientv3.Cmp
	writes     []clientv3.Op
}

// steps returns the next steps for the units in the queue.
func (l *leadership) steps() []step {
	var all []step
	for _, name := range slices.Sorted(maps.Keys(l.queue)) {
		if l.sent[name] > l.model.Revision {
			continue // the unit stays in the queue until the model has the last change
		}
		delete(l.queue, name)
		delete(l.sent, name)
		if s := l.step(name); len(s.writes) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// step compares the place that the scheduler has chosen for a unit with its assignments.
func (l *leadership) step(name string) step {
	s := step{name: name}
	job, there := l.model.Jobs[name]
	place, _ := l.placement.Place(name)
	s.conditions = append(s.conditions, clientv3.Compare(clientv3.ModRevision(l.Store.Job(name)), "=", job.Revision))
	occupied := false
	for _, id := range slices.Sorted(maps.Keys(l.model.Assignments[name])) {
		if id != place {
			occupied = l.withdraw(&s, id) || occupied
		}
	}
	if occupied {
		place = "" // another machine has to stop the unit first
	}
	if place != "" {
		l.assign(&s, place, job.Value)
	}
	if there && job.Value.Machine != place {
		job.Value.Machine = place
		s.writes = append(s.writes, clientv3.OpPut(l.Store.Job(name), store.Encode(job.Value)))
	}
	return s
}

// withdraw takes a unit away from a machine. It reports whether the unit may still run there: a
// live machine is asked to stop it, and removes the assignment when it has.
func (l *leadership) withdraw(s *step, id string) (mayRun bool) {
	key, is := l.Store.Assignment(id, s.name), l.model.Assignments[s.name][id]
	unchanged := clientv3.Compare(clientv3.ModRevision(key), "=", is.Revision)
	if !l.placement.Alive(id) {
		s.conditions = append(s.conditions, unchanged, clientv3.Compare(clientv3.CreateRevision(l.Store.Machine(id)), "=", 0))
		s.writes = append(s.writes, clientv3.OpDelete(key), clientv3.OpDelete(l.Store.State(s.name, id)))
		return false
	}
	if is.Value.Target != schema.Inactive {
		s.conditions = append(s.conditions, unchanged)
		s.writes = append(s.writes, clientv3.OpPut(key, store.Encode(store.Assignment{Hash: is.Value.Hash, Target: schema.Inactive})))
	}
	return true
}

// assign assigns a unit to a machine. A unit that has finished is only loaded.
func (l *leadership) assign(s *step, id string, job store.Job) {
	want := store.Assignment{Hash: job.Hash, Target: job.Target}
	if job.Finished != "" {
		want.Target = schema.Loaded
	}
	if is, there := l.model.Assignments[s.name][id]; there && is.Value == want {
		return
	}
	s.writes = append(s.writes, clientv3.OpPut(l.Store.Assignment(id, s.name), store.Encode(want)))
}

// commit makes steps in one transaction. A step is made only if its records are unchanged.
// Otherwise the unit is queued again; the watch brings the change.
func (l *leadership) commit(ctx context.Context, steps []step) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	ops := make([]clientv3.Op, len(steps))
	for i, s := range steps {
		ops[i] = clientv3.OpTxn(s.conditions, s.writes, nil)
	}
	answer, err := l.Store.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(l.Store.Leader()), "=", l.term)).Then(ops...).Commit()
	if err != nil {
		return err // the transaction may have been made: the next leadership reads everything anew
	}
	if !answer.Succeeded {
		return errNotLeader
	}
	for i, response := range answer.Responses {
		name := steps[i].name
		if !response.GetResponseTxn().Succeeded {
			slog.Debug("a unit changed meanwhile", "unit", name)
			l.queue[name] = true
			continue
		}
		l.sent[name] = answer.Header.Revision
		l.Metrics.step()
	}
	return nil
}
