package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// requestTime bounds a request to etcd.
const requestTime = 10 * time.Second

// executor carries out actions. It does not see the agent: all that it needs is in the task.
type executor struct {
	store   *store.Store
	id      string
	systemd Systemd
}

// task is an action on a unit, with what was wanted and installed when it began.
type task struct {
	name   string
	action phase
	want   want
	is     installed
	// written is closed when no transaction with states is under way.
	written <-chan struct{}
}

// do carries out an action and returns how it ended.
func (x executor) do(ctx context.Context, t task) event {
	switch t.action {
	case installing:
		return x.install(ctx, t)
	case starting:
		return x.start(ctx, t)
	case stopping:
		return x.stop(ctx, t)
	case removing:
		return x.remove(ctx, t)
	case releasing:
		return assignmentReleased{t.name, t.want.revision, x.release(ctx, t)}
	}
	panic("no action: " + t.action.String())
}

func (x executor) start(ctx context.Context, t task) event {
	if err := x.systemd.Start(ctx, t.name); err != nil {
		return t.failed(fmt.Errorf("starting %s: %w", t.name, err))
	}
	t.is.run = started
	return t.ended()
}

func (x executor) stop(ctx context.Context, t task) event {
	if err := x.systemd.Stop(ctx, t.name); err != nil {
		return t.failed(fmt.Errorf("stopping %s: %w", t.name, err))
	}
	t.is.run = stopped
	return t.ended()
}

// ended is the event of an action that succeeded.
func (t task) ended() event { return actionEnded{t.name, &t.is, nil} }

// failed is the event of an action in which a call to start or stop the unit failed.
func (t task) failed(err error) event {
	t.is.run = t.is.run.failed()
	return actionEnded{t.name, &t.is, err}
}

// remove stops a unit and makes systemd forget it.
func (x executor) remove(ctx context.Context, t task) event {
	if err := x.systemd.Stop(ctx, t.name); err != nil {
		return t.failed(fmt.Errorf("stopping %s: %w", t.name, err))
	}
	t.is.run = stopped
	if t.is.global {
		// The leader does not remove the state of a global unit. The agent removes it before
		// the unit, because the next run of the agent would not know that it is left.
		if err := x.removeState(ctx, t); err != nil {
			return actionEnded{t.name, &t.is, fmt.Errorf("removing the state of %s: %w", t.name, err)}
		}
	}
	if err := x.systemd.Remove(ctx, t.name); err != nil {
		t.is.hash = unknown
		return actionEnded{t.name, &t.is, fmt.Errorf("removing %s: %w", t.name, err)}
	}
	return actionEnded{t.name, &installed{}, nil}
}

// removeState removes a unit's state from etcd, after a transaction that may be writing it.
func (x executor) removeState(ctx context.Context, t task) error {
	select {
	case <-t.written:
	case <-ctx.Done():
	}
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	_, err := x.store.Delete(ctx, x.store.State(t.name, x.id))
	return err
}

// install reads the wanted file of a unit from etcd and installs it. An installed unit is
// stopped first.
func (x executor) install(ctx context.Context, t task) event {
	file, err := x.file(ctx, t)
	if err != nil {
		return actionEnded{t.name, nil, err}
	}
	becomes, err := describe(t.name, file)
	if err != nil {
		return actionEnded{t.name, nil, fmt.Errorf("%s: %w", t.name, err)}
	}
	if t.is.hash != "" {
		if err := x.systemd.Stop(ctx, t.name); err != nil {
			return t.failed(fmt.Errorf("stopping %s, which has a new file: %w", t.name, err))
		}
	}
	err = x.systemd.Install(ctx, t.name, file.String())
	if refused := (Refused{}); errors.As(err, &refused) { // nothing of it is in systemd
		return actionEnded{t.name, &installed{global: becomes.global}, err}
	}
	if err != nil {
		t.is.run, t.is.hash = t.is.run.unlaunched(), unknown
		return actionEnded{t.name, &t.is, fmt.Errorf("installing %s: %w", t.name, err)}
	}
	return actionEnded{t.name, &becomes, nil}
}

// file reads the wanted file from etcd.
func (x executor) file(ctx context.Context, t task) (*unitfile.File, error) {
	if t.want.isStandIn() {
		return standIn, nil
	}
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	record, revision, err := store.Fetch[store.Unit](ctx, x.store, x.store.Unit(t.name))
	if err != nil {
		return nil, fmt.Errorf("reading the file of %s: %w", t.name, err)
	}
	if revision == 0 {
		return nil, fmt.Errorf("the file of %s is not in etcd", t.name)
	}
	file := unitfile.Of(schema.Unit{Options: record.Options})
	if hash := file.Hash().String(); hash != t.want.Hash {
		return nil, fmt.Errorf("the file of %s has the hash %s, %s is wanted", t.name, hash, t.want.Hash)
	}
	return file, nil
}

// release removes the assignment of a unit that this machine no longer has, and so tells the
// leader that another machine can get it.
func (x executor) release(ctx context.Context, t task) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	key := x.store.Assignment(x.id, t.name)
	_, err := x.store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", t.want.revision)).
		Then(clientv3.OpDelete(key), clientv3.OpDelete(x.store.State(t.name, x.id))).Commit()
	if err != nil {
		return fmt.Errorf("releasing the assignment of %s: %w", t.name, err)
	}
	return nil
}
