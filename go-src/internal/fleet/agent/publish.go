package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// Of writing states: how long changes are collected, the pause after an error, and how
// many are written in one transaction (etcd takes 128 operations).
const (
	collect    = 100 * time.Millisecond
	writePause = 2 * time.Second
	maxStates  = 60
)

// observe takes over what systemd says of a unit.
func (a *Agent) observe(ctx context.Context, name string, u *unit, state State) {
	u.halted = u.launched && !state.Launched && !u.busy
	current := schema.Loaded
	if u.launched {
		current = schema.Launched
	}
	u.current = store.State{Hash: u.hash, Load: state.Load, Active: state.Active, Sub: state.Sub, Current: current, Waiting: u.waiting}
	if u.runOnce && u.launched && state.Ended && !u.busy && !u.want.global {
		go a.finished(ctx, name, u.want)
	}
	a.soil(name)
}

// soil has a unit's state written soon, if it is not what etcd has.
func (a *Agent) soil(name string) {
	u := a.units[name]
	if u == nil || u.dirty || !u.want.runs() || u.want.isStandIn() || u.current == u.published || u.current.Hash == "" {
		return
	}
	u.dirty = true
	if !a.flushing {
		a.timer.Reset(collect)
	}
}

// write writes states that changed. A state is written only while the machine is to have
// the unit, so that none is left behind by one that was destroyed meanwhile.
func (a *Agent) write(ctx context.Context) {
	lease := a.lease()
	if a.flushing || lease == 0 {
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
		key := a.Store.Assignment(a.ID, name)
		if u.want.global {
			key = a.Store.Global(name)
		}
		u.published = u.current
		put := clientv3.OpPut(a.Store.State(name, a.ID), store.Encode(u.current), clientv3.WithLease(lease))
		ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), ">", 0)}, []clientv3.Op{put}, nil))
		names = append(names, name)
	}
	if len(ops) == 0 {
		return
	}
	a.flushing, a.written = true, make(chan struct{})
	go a.commit(ctx, ops, names, a.written)
}

// flushed are the states of a transaction that were not written: because it failed, or
// because the machine was not to have the unit any longer.
type flushed struct{ failed, refused []string }

func (a *Agent) commit(ctx context.Context, ops []clientv3.Op, names []string, written chan struct{}) {
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	var f flushed
	answer, err := a.Store.Txn(request).Then(ops...).Commit()
	close(written)
	if err != nil {
		f.failed = names
		slog.Warn("states of units could not be written to etcd", "units", len(names), "error", err)
		pause.For(ctx, writePause)
	} else {
		for i, response := range answer.Responses {
			if !response.GetResponseTxn().Succeeded {
				f.refused = append(f.refused, names[i])
			}
		}
	}
	select {
	case a.flush <- f:
	case <-ctx.Done():
	}
}

// flushed has states written again that could not be, and those that changed meanwhile.
func (a *Agent) flushed(ctx context.Context, f flushed) {
	a.flushing = false
	for _, name := range append(f.failed, f.refused...) {
		if u := a.units[name]; u != nil {
			u.published = store.State{}
		}
	}
	for _, name := range f.failed {
		a.soil(name)
	}
	for _, name := range f.refused { // the machine may be given the unit anew
		time.AfterFunc(writePause, func() { a.tell(ctx, result{name: name, write: true}) })
	}
	for _, u := range a.units {
		if u.dirty {
			a.timer.Reset(collect)
			return
		}
	}
}

// finished says in a unit's job that it has run and is not to be run again.
func (a *Agent) finished(ctx context.Context, name string, w want) {
	if err := a.end(ctx, name, w); err != nil && ctx.Err() == nil {
		slog.Warn("that a unit has finished could not be written to etcd", "unit", name, "error", err)
	}
}

func (a *Agent) end(ctx context.Context, name string, w want) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	answer, err := a.Store.Get(ctx, a.Store.Job(name))
	if err != nil || len(answer.Kvs) == 0 {
		return err
	}
	job, err := store.Decode[store.Job](answer.Kvs[0].Value)
	if err != nil || job.Finished != "" || job.Machine != a.ID || job.Hash != w.Hash {
		return err
	}
	job.Finished = "success"
	done, err := a.Store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(a.Store.Job(name)), "=", answer.Kvs[0].ModRevision)).
		Then(clientv3.OpPut(a.Store.Job(name), store.Encode(job))).Commit()
	if err == nil && !done.Succeeded {
		err = fmt.Errorf("its job changed meanwhile")
	}
	return err
}
