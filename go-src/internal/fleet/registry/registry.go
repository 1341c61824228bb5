// Package registry is the cluster as fleet's API shows and changes it.
//
// What is read comes from a copy of what etcd has, which is kept by watching for as long
// as somebody asks, and is as new as etcd when the request came. What is changed is one
// transaction that compares the revision of the unit's job.
package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	fleetstore "coreos/internal/fleet/store"
)

// Registry implements api.Cluster.
type Registry struct {
	store *fleetstore.Store

	mu     sync.Mutex
	copy   *mirror
	unused *time.Timer
}

// idle is how long the copy is kept without being asked for.
const idle = 5 * time.Minute

// freshTime bounds the wait for the copy to be as new as etcd; loadTime that for it to be
// read.
const (
	freshTime = 5 * time.Second
	loadTime  = 20 * time.Second
)

// New returns the registry of a cluster.
func New(store *fleetstore.Store) *Registry { return &Registry{store: store} }

// Close stops watching.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copy != nil {
		r.copy.stop()
		r.copy = nil
	}
}

// mirror is a copy of what etcd has.
type mirror struct {
	ctx  context.Context
	stop context.CancelFunc

	mu       sync.Mutex
	advanced chan struct{} // closed when a revision advances
	model    *fleetstore.Model
	states   map[string]map[string]fleetstore.State // by unit and machine
	// revisions are how far the copies of the cluster and of the states have come.
	revisions [2]int64
	// listed are the lists as they were asked for since the last change, so that the pages
	// of one are not as many lists; nil if nobody did.
	listed struct {
		units  []schema.Unit
		states []schema.UnitState
	}
}

// mirror returns the copy, and has it go on for a while.
func (r *Registry) mirror() *mirror {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copy == nil {
		m := &mirror{advanced: make(chan struct{}), model: fleetstore.NewModel(), states: map[string]map[string]fleetstore.State{}}
		m.ctx, m.stop = context.WithCancel(context.Background())
		go r.store.Follow(m.ctx, r.store.Cluster(), func(batch fleetstore.Batch) { m.apply(0, batch, m.model.Apply) })
		go r.store.Follow(m.ctx, r.store.States(), func(batch fleetstore.Batch) { m.apply(1, batch, m.applyStates) })
		r.copy = m
		r.unused = time.AfterFunc(idle, r.Close)
	}
	r.unused.Reset(idle)
	return r.copy
}

func (m *mirror) apply(which int, batch fleetstore.Batch, apply func(fleetstore.Batch)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	apply(batch)
	if batch.Reset || len(batch.Events) > 0 {
		m.listed.units, m.listed.states = nil, nil
	}
	m.revisions[which] = max(m.revisions[which], batch.Revision)
	close(m.advanced)
	m.advanced = make(chan struct{})
}

func (m *mirror) applyStates(batch fleetstore.Batch) {
	if batch.Reset {
		clear(m.states)
	}
	for _, event := range batch.Events {
		name, id, _ := strings.Cut(event.Key, "/")
		delete(m.states[name], id)
		if state, err := fleetstore.Decode[fleetstore.State](event.Value); event.Value != nil && err == nil {
			if m.states[name] == nil {
				m.states[name] = map[string]fleetstore.State{}
			}
			m.states[name][id] = state
		}
		if len(m.states[name]) == 0 {
			delete(m.states, name)
		}
	}
}

// view calls a function with the copy when it is as new as etcd is now. The copy is not
// to be changed, and not to be kept.
func (r *Registry) view(ctx context.Context, see func(*mirror)) error {
	m := r.mirror()
	request, stop := context.WithTimeout(ctx, freshTime)
	defer stop()
	now, err := r.store.Get(request, r.store.Leader(), clientv3.WithCountOnly())
	if err != nil {
		return unavailable(err)
	}
	return m.reach(ctx, r.store, now.Header.Revision, see)
}

// glance is view of a copy that may be behind; but it is there.
func (r *Registry) glance(ctx context.Context, see func(*mirror)) error {
	return r.mirror().reach(ctx, r.store, 1, see)
}

// reach waits until the copy has come to a revision.
func (m *mirror) reach(ctx context.Context, store *fleetstore.Store, revision int64, see func(*mirror)) error {
	ctx, stop := context.WithTimeout(ctx, loadTime)
	defer stop()
	asked := false
	for {
		m.mu.Lock()
		behind := min(m.revisions[0], m.revisions[1])
		if behind >= revision {
			defer m.mu.Unlock()
			see(m)
			return nil
		}
		advanced := m.advanced
		m.mu.Unlock()
		if !asked && behind > 0 { // nothing below the prefixes may have changed
			asked = true
			if err := store.RequestProgress(clientv3.WithRequireLeader(m.ctx)); err != nil {
				return unavailable(err)
			}
		}
		select {
		case <-advanced:
		case <-time.After(freshTime / 5):
			asked = false
		case <-ctx.Done():
			return unavailable(fmt.Errorf("the copy of the cluster is at revision %d, etcd at %d", behind, revision))
		}
	}
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", schema.ErrUnavailable, err) }

// errChanged is that something changed while it was being changed.
var errChanged = errors.New("it changed meanwhile")

// attempts bounds those of a change.
const attempts = 8

// maker makes a transaction of what the copy shows.
type maker func(*mirror) ([]clientv3.Cmp, []clientv3.Op, error)

// change makes a transaction; again, if the copy was not what etcd has.
func (r *Registry) change(ctx context.Context, what string, make maker) error {
	for range attempts {
		if done, err := r.attempt(ctx, what, r.view, make); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %s: %w, %d times", schema.ErrConflict, what, errChanged, attempts)
}

// changeUnit is change for a transaction that compares the revision of all that it was made
// from. A copy that is behind does no harm there, so the first attempt does not wait for
// it, unless it makes nothing of it: with thousands of changes at a time most succeed.
func (r *Registry) changeUnit(ctx context.Context, what string, make maker) error {
	done, err := r.attempt(ctx, what, r.glance, func(m *mirror) ([]clientv3.Cmp, []clientv3.Op, error) {
		is, then, err := make(m)
		if err != nil || len(then) == 0 {
			return nil, nil, errChanged
		}
		return is, then, nil
	})
	if done || err != nil && !errors.Is(err, errChanged) {
		return err
	}
	return r.change(ctx, what, make)
}

// attempt makes one transaction. It is not done, without an error, if something changed
// meanwhile.
func (r *Registry) attempt(ctx context.Context, what string, look func(context.Context, func(*mirror)) error, make maker) (done bool, err error) {
	var is []clientv3.Cmp
	var then []clientv3.Op
	if unread := look(ctx, func(m *mirror) { is, then, err = make(m) }); unread != nil {
		return false, unread
	}
	if err != nil || len(then) == 0 {
		return err == nil, err
	}
	request, stop := context.WithTimeout(ctx, freshTime)
	defer stop()
	answer, err := r.store.Txn(request).If(is...).Then(then...).Commit()
	if err != nil {
		return false, unavailable(fmt.Errorf("%s: whether it was done is not known: %w", what, err))
	}
	return answer.Succeeded, nil
}
