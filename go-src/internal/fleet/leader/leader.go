// Package leader is what the leader of a fleet cluster does: it gives units to
// machines.
//
// A unit that moves away from a machine that lives is asked to leave first (its assignment
// wants it inactive), and given to the next machine when the machine that had it has
// removed the assignment: so it never runs on two. Each step is one transaction that the
// unit's job has to be unchanged for and this machine the leader, and follows from what is
// in etcd alone: the next leader goes on wherever the last one stopped.
package leader

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// Engine leads the cluster whenever it is elected.
type Engine struct {
	Store *store.Store
	// ID is this machine's.
	ID      string
	Metrics *Metrics
}

// retry is before the next attempt when etcd was away.
const retry = time.Second

// errNotLeader is that another machine leads.
var errNotLeader = errors.New("another machine leads")

// Run campaigns and leads for as long as the context, which has to end with the lease.
func (e *Engine) Run(ctx context.Context, lease clientv3.LeaseID) {
	for ctx.Err() == nil {
		term, err := campaign(ctx, e.Store, lease, e.ID)
		if err == nil {
			slog.Info("this machine leads: it gives units to machines")
			e.Metrics.leads(true)
			err = e.lead(ctx, term)
			e.Metrics.leads(false)
		}
		if ctx.Err() == nil {
			slog.Warn("this machine does not lead", "error", err)
		}
		pause.For(ctx, retry)
	}
}

// lead places units until it is known that another machine leads.
func (e *Engine) lead(ctx context.Context, term int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan store.Batch, 256)
	go func() {
		defer close(batches)
		e.Store.Follow(ctx, e.Store.Cluster(), func(batch store.Batch) {
			select {
			case batches <- batch:
			case <-ctx.Done():
			}
		})
	}()
	t := &turn{Engine: e, term: term, model: store.NewModel(), sent: map[string]int64{}, due: map[string]bool{}}
	for batch := range batches {
		t.take(batch)
		for more := true; more; { // all that came meanwhile is one plan
			select {
			case batch, more = <-batches:
				if more {
					t.take(batch)
				}
			default:
				more = false
			}
		}
		if err := t.plan(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// turn is a time of leading.
type turn struct {
	*Engine
	term  int64
	model *store.Model
	board *Board
	// due are units whose assignments may have to change. sent are the revisions at which
	// they were changed last: until the model has come that far, they wait.
	due  map[string]bool
	sent map[string]int64
	// rebalanced is the revision of the last wish to rebalance that was followed.
	rebalanced int64
}

// take takes over what changed in etcd.
func (t *turn) take(batch store.Batch) {
	t.model.Apply(batch)
	if batch.Reset {
		t.board = NewBoard(t.model)
		for name := range t.model.Jobs {
			t.due[name] = true
		}
		for name := range t.model.Assignments {
			t.due[name] = true
		}
		return
	}
	for _, event := range batch.Events {
		kind, name := event.Kind()
		switch kind {
		case "unit", "job":
			t.board.unit(name)
			t.due[name] = true
		case "machine", "metadata", "drain":
			t.board.machine(name)
			t.lost(name)
		case "agent":
			_, unit := store.Event{Key: name}.Kind()
			t.due[unit] = true
		}
	}
}

// lost has the assignments of a machine that is gone looked at.
func (t *turn) lost(id string) {
	if t.board.alive(id) {
		return
	}
	for name := range t.model.Holds[id] {
		t.board.unit(name)
		t.due[name] = true
	}
}

// plan lets the scheduler decide, and writes down what follows.
func (t *turn) plan(ctx context.Context) error {
	start := time.Now()
	moves := t.board.Plan()
	rebalance := t.model.Rebalance
	if rebalance > t.rebalanced {
		moves = append(moves, t.board.Rebalance()...)
	}
	for _, move := range moves {
		slog.Debug("plan", "unit", move.Unit, "from", move.From, "to", move.To)
		t.due[move.Unit] = true
	}
	steps := t.steps()
	t.Metrics.planned(time.Since(start), len(moves))
	for some := range slices.Chunk(steps, maxSteps) {
		if err := t.commit(ctx, some); err != nil {
			return err
		}
	}
	if rebalance > t.rebalanced {
		t.rebalanced = rebalance
		return t.forget(ctx, t.Store.Rebalance(), rebalance)
	}
	return nil
}

// forget removes a key that has not changed since a revision.
func (t *turn) forget(ctx context.Context, key string, revision int64) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	_, err := t.Store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpDelete(key)).Commit()
	return err
}
