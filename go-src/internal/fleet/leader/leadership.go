package leader

import (
	"context"
	"log/slog"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/placement"
	"coreos/internal/fleet/store"
)

// leadership is the time in which this machine leads, with what it knows of the cluster.
type leadership struct {
	*Candidate
	term      int64
	model     *store.Model
	placement *placement.Placement
	// queue has the units whose assignments may have to change.
	queue map[string]bool
	// sent has the revision at which a unit was last changed. The unit waits in the queue
	// until the model has reached that revision.
	sent map[string]int64
	// rebalanced is the revision of the last request to rebalance that was carried out.
	rebalanced int64
}

func newLeadership(c *Candidate, term int64) *leadership {
	return &leadership{Candidate: c, term: term, model: store.NewModel(), sent: map[string]int64{}, queue: map[string]bool{}}
}

// apply applies a batch of records and queues the units that it concerns.
func (l *leadership) apply(batch store.Batch) {
	l.model.Apply(batch)
	if batch.Reset {
		l.placement = placement.New(l.model)
		for name := range l.model.Jobs {
			l.queue[name] = true
		}
		for name := range l.model.Assignments {
			l.queue[name] = true
		}
		return
	}
	for _, event := range batch.Events {
		kind, name := event.Kind()
		switch kind {
		case "unit", "job":
			l.placement.UpdateUnit(name)
			l.queue[name] = true
		case "machine", "metadata", "drain":
			l.placement.UpdateMachine(name)
			l.queueLost(name)
		case "agent":
			_, unit := store.Event{Key: name}.Kind()
			l.queue[unit] = true
		}
	}
}

// queueLost queues the assignments of a dead machine for rescheduling.
func (l *leadership) queueLost(id string) {
	if l.placement.Alive(id) {
		return
	}
	for name := range l.model.Holds[id] {
		l.placement.UpdateUnit(name)
		l.queue[name] = true
	}
}

// plan lets the scheduler decide where units have to be, and writes the steps that follow.
func (l *leadership) plan(ctx context.Context) error {
	start := time.Now()
	moves := l.placement.Plan()
	rebalance := l.model.Rebalance
	if rebalance > l.rebalanced {
		moves = append(moves, l.placement.Rebalance()...)
	}
	for _, move := range moves {
		slog.Debug("plan", "unit", move.Unit, "from", move.From, "to", move.To)
		l.queue[move.Unit] = true
	}
	steps := l.steps()
	l.Metrics.planned(time.Since(start), len(moves))
	for some := range slices.Chunk(steps, maxSteps) {
		if err := l.commit(ctx, some); err != nil {
			return err
		}
	}
	if rebalance > l.rebalanced {
		l.rebalanced = rebalance
		return l.deleteUnchanged(ctx, l.Store.Rebalance(), rebalance)
	}
	return nil
}

// deleteUnchanged deletes a key that has not changed since a revision.
func (l *leadership) deleteUnchanged(ctx context.Context, key string, revision int64) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	_, err := l.Store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpDelete(key)).Commit()
	return err
}
