package agent

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// requestTime bounds a request to etcd.
const requestTime = 10 * time.Second

// act begins what is next for a unit, if anything is, and nothing is going on with it.
func (a *Agent) act(ctx context.Context, name string) {
	u := a.units[name]
	if u == nil || u.busy {
		return
	}
	action, stops := a.next(ctx, name, u)
	u.current.Waiting = u.waiting
	a.soil(name)
	if action == nil {
		if !u.want.runs() && u.want.revision == 0 && u.hash == "" {
			delete(a.units, name)
		}
		return
	}
	if stops {
		a.topple(name)
	}
	u.busy, u.fell, u.halted, u.since = true, false, false, time.Time{}
	go func() {
		r := action(ctx)
		r.name = name
		a.tell(ctx, r)
	}()
}

// next is what is next for a unit, nil if it is as it has to be, and whether that stops it.
func (a *Agent) next(ctx context.Context, name string, u *unit) (action func(context.Context) result, stops bool) {
	is, want := u.installed, u.want
	u.waiting = ""
	switch {
	case !want.runs() && u.hash != "":
		written := a.written
		return func(ctx context.Context) result { return a.remove(ctx, name, is, written) }, true
	case !want.runs():
		if want.revision <= u.released || want.global || a.lease() == 0 {
			return nil, false
		}
		return func(ctx context.Context) result {
			return result{err: a.release(ctx, name, want.revision), released: want.revision}
		}, false
	case want.Hash != u.hash:
		return func(ctx context.Context) result { return a.install(ctx, name, want, is) }, u.hash != ""
	case want.Target == schema.Loaded && (u.launched || u.unsure) && !want.isStandIn(), a.bereft(u):
		return func(ctx context.Context) result { return a.change(ctx, name, is, false) }, true
	case u.starts():
		if u.waiting = a.waits(ctx, name, u); u.waiting != "" || a.arriving() {
			return nil, false
		}
		return func(ctx context.Context) result { return a.change(ctx, name, is, true) }, false
	}
	return nil, false
}

// arriving reports whether a unit is on its way to a systemd that has not known it. None is
// started meanwhile: it may name the other one in BindsTo= or After=.
func (a *Agent) arriving() bool {
	for _, u := range a.units {
		if u.want.runs() && u.hash == "" && u.failures == 0 {
			return true
		}
	}
	return false
}

// starts reports whether a unit is to be started.
func (u *unit) starts() bool {
	return u.want.Target == schema.Launched && (!u.launched || u.unsure || u.fell)
}

// arrived starts the units that waited for others to arrive. It leaves the rest alone: what
// is wanted of them may not have been read yet.
func (a *Agent) arrived(ctx context.Context) {
	if a.arriving() {
		return
	}
	for name, u := range a.units {
		if u.starts() {
			a.act(ctx, name)
		}
	}
}

// change starts or stops a unit.
func (a *Agent) change(ctx context.Context, name string, is installed, launch bool) result {
	do, verb := a.Systemd.Stop, "stopping"
	if launch {
		do, verb = a.Systemd.Start, "starting"
	}
	if err := do(ctx, name); err != nil {
		is.unsure = true
		return result{is: &is, err: fmt.Errorf("%s %s: %w", verb, name, err)}
	}
	is.launched, is.unsure = launch, false
	return result{is: &is}
}

// remove stops a unit and has systemd forget it. Its state may be among those that are just
// being written.
func (a *Agent) remove(ctx context.Context, name string, is installed, written chan struct{}) result {
	if err := a.Systemd.Stop(ctx, name); err != nil {
		is.unsure = true
		return result{is: &is, err: fmt.Errorf("stopping %s: %w", name, err)}
	}
	is.launched, is.unsure = false, false
	if is.global {
		// Nobody else removes its state. It goes before the unit: the next run of the
		// agent knows of nothing else that is left to do.
		select {
		case <-written:
		case <-ctx.Done():
		}
		request, stop := context.WithTimeout(ctx, requestTime)
		defer stop()
		if _, err := a.Store.Delete(request, a.Store.State(name, a.ID)); err != nil {
			return result{is: &is, err: fmt.Errorf("removing the state of %s: %w", name, err)}
		}
	}
	if err := a.Systemd.Remove(ctx, name); err != nil {
		is.hash = unknown
		return result{is: &is, err: fmt.Errorf("removing %s: %w", name, err)}
	}
	return result{is: &installed{}}
}

// install gets the file of a unit and has systemd know it, in place of another one.
func (a *Agent) install(ctx context.Context, name string, want want, is installed) result {
	file, err := a.file(ctx, name, want)
	if err != nil {
		return result{err: err}
	}
	becomes, err := read(name, file)
	if err != nil {
		return result{err: fmt.Errorf("%s: %w", name, err)}
	}
	if is.hash != "" {
		if err := a.Systemd.Stop(ctx, name); err != nil {
			is.unsure = true
			return result{is: &is, err: fmt.Errorf("stopping %s, which has a new file: %w", name, err)}
		}
	}
	if err := a.Systemd.Install(ctx, name, file.String()); err != nil {
		is.launched, is.hash = false, unknown
		return result{is: &is, err: fmt.Errorf("installing %s: %w", name, err)}
	}
	return result{is: &becomes}
}

// file gets the file that is wanted.
func (a *Agent) file(ctx context.Context, name string, want want) (*unitfile.File, error) {
	if want.isStandIn() {
		return standIn, nil
	}
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	answer, err := a.Store.Get(ctx, a.Store.Unit(name))
	if err != nil {
		return nil, fmt.Errorf("reading the file of %s: %w", name, err)
	}
	if len(answer.Kvs) == 0 {
		return nil, fmt.Errorf("the file of %s is not in etcd", name)
	}
	record, err := store.Decode[store.Unit](answer.Kvs[0].Value)
	if err != nil {
		return nil, fmt.Errorf("the file of %s: %w", name, err)
	}
	file := unitfile.Of(schema.Unit{Options: record.Options})
	if is := file.Hash().String(); is != want.Hash {
		return nil, fmt.Errorf("the file of %s has the hash %s, %s is wanted", name, is, want.Hash)
	}
	return file, nil
}

// release tells the leader that a unit does not run here any longer.
func (a *Agent) release(ctx context.Context, name string, revision int64) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	key := a.Store.Assignment(a.ID, name)
	_, err := a.Store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpDelete(key), clientv3.OpDelete(a.Store.State(name, a.ID))).Commit()
	if err != nil {
		return fmt.Errorf("giving %s back: %w", name, err)
	}
	return nil
}
