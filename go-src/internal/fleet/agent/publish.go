package agent

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/host/warning"
)

const (
	// collectTime is how long changed states are collected before they are written.
	collectTime = 100 * time.Millisecond
	// writePause is the pause after a transaction that failed.
	writePause = 2 * time.Second
	// maxStates bounds the states of a transaction: etcd takes 128 operations.
	maxStates = 60
)

// publication is the writing of states to etcd, one transaction after the other.
type publication struct {
	// timer fires when states have to be written.
	timer *time.Timer
	// writing is set from the beginning of a transaction until the loop knows of its end.
	writing bool
	// written is closed when the transaction has ended.
	written chan struct{}
	failed  warning.Repeated
}

func newPublication() publication {
	p := publication{timer: time.NewTimer(0), written: make(chan struct{})}
	p.timer.Stop()
	close(p.written) // no transaction is under way
	return p
}

func (p *publication) schedule() { p.timer.Reset(collectTime) }

// observe records the state that systemd reports for a unit.
func (a *Agent) observe(ctx context.Context, name string, u *unit, state State) {
	u.observed(state.Launched)
	current := schema.Loaded
	if u.run.launched() {
		current = schema.Launched
	}
	u.current = store.State{Hash: u.hash, Load: state.Load, Active: state.Active, Sub: state.Sub, Current: current, Waiting: u.waitsFor, Problem: state.Problem}
	if u.problem != "" {
		u.refuse(u.problem)
	}
	if u.runOnce && u.run.launched() && state.Ended && !u.phase.busy() && !u.want.global {
		go a.recordFinish(ctx, name, u.want)
	}
	a.markDirty(name)
}

// markDirty schedules the publication of a unit's state if etcd has another one.
func (a *Agent) markDirty(name string) {
	u := a.units[name]
	if u == nil || u.dirty || !u.want.runs() || u.want.isStandIn() || u.current == u.published || u.current.Hash == "" {
		return
	}
	u.dirty = true
	if !a.publication.writing {
		a.publication.schedule()
	}
}

// publish writes the states that have changed. Each is written only if the machine still has
// the assignment: otherwise the state of a unit that was destroyed meanwhile would stay behind.
func (a *Agent) publish(ctx context.Context) {
	lease := a.lease()
	if a.publication.writing || lease == 0 {
		return
	}
	var names []string
	var ops []clientv3.Op
	for name, u := range a.units {
		if !u.dirty || len(ops) == maxStates {
			continue
		}
		u.dirty = false
		if !u.want.runs() || u.want.isStandIn() {
			continue
		}
		u.published = u.current
		names, ops = append(names, name), append(ops, a.putState(name, u, lease))
	}
	if len(ops) == 0 {
		return
	}
	a.publication.writing, a.publication.written = true, make(chan struct{})
	go a.commitStates(ctx, ops, names, a.publication.written)
}

func (a *Agent) putState(name string, u *unit, lease clientv3.LeaseID) clientv3.Op {
	key := a.Store.Assignment(a.ID, name)
	if u.want.global {
		key = a.Store.Global(name)
	}
	put := clientv3.OpPut(a.Store.State(name, a.ID), store.Encode(u.current), clientv3.WithLease(lease))
	return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), ">", 0)}, []clientv3.Op{put}, nil)
}

// deleteOutdated takes operations of putState that could not be carried out, and returns those that
// delete the states that etcd has of these units, where they are other ones.
func deleteOutdated(puts []clientv3.Op) []clientv3.Op {
	deletes := make([]clientv3.Op, len(puts))
	for i, op := range puts {
		_, then, _ := op.Txn()
		key, value := string(then[0].KeyBytes()), string(then[0].ValueBytes())
		other := clientv3.Compare(clientv3.Value(key), "!=", value)
		deletes[i] = clientv3.OpTxn([]clientv3.Cmp{other}, []clientv3.Op{clientv3.OpDelete(key)}, nil)
	}
	return deletes
}

// commitStates writes states in one transaction and sends the result to the loop. If etcd has no
// space for them, the outdated ones are deleted, which etcd allows: no state is better than a wrong one.
func (a *Agent) commitStates(ctx context.Context, ops []clientv3.Op, names []string, written chan struct{}) {
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	var result statesWritten
	answer, err := a.Store.Txn(request).Then(ops...).Commit()
	if errors.Is(err, rpctypes.ErrNoSpace) {
		if _, failed := a.Store.Txn(request).Then(deleteOutdated(ops)...).Commit(); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	close(written)
	if err != nil {
		result.failed, result.err = names, err
		select {
		case <-time.After(writePause):
		case <-ctx.Done():
		}
	} else {
		for i, response := range answer.Responses {
			if !response.GetResponseTxn().Succeeded {
				result.refused = append(result.refused, names[i])
			}
		}
	}
	a.send(ctx, result)
}

// published schedules the states that were not written, and those that have changed meanwhile.
func (a *Agent) published(ctx context.Context, e statesWritten) {
	a.publication.writing = false
	if e.err != nil {
		a.publication.failed.Warn("states of units could not be written to etcd, and are written again", e.err, "units", len(e.failed))
	} else {
		a.publication.failed.Over()
	}
	for _, name := range append(e.failed, e.refused...) {
		if u := a.units[name]; u != nil {
			u.published = store.State{}
		}
	}
	for _, name := range e.failed {
		a.markDirty(name)
	}
	for _, name := range e.refused { // the machine may get a new assignment
		time.AfterFunc(writePause, func() { a.send(ctx, publishAgain{name}) })
	}
	for _, u := range a.units {
		if u.dirty {
			a.publication.schedule()
			return
		}
	}
}
