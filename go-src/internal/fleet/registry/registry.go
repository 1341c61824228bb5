// Package registry reads and changes the records of a cluster for fleet's API.
//
// It reads from a copy of the records, which it keeps up to date by a watch while requests come.
// Before it answers, it waits until the copy is as new as etcd was when the request came. A
// change is one transaction that compares the revision of the unit's job.
package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// Registry implements the interface Cluster of package api.
type Registry struct {
	store *store.Store

	mu     sync.Mutex
	copy   *mirror
	unused *time.Timer
	used   time.Time // the last request
}

// idleTime is how long the copy is kept without a request.
const idleTime = 5 * time.Minute

// freshTime bounds requests to etcd. loadTime bounds the wait until the copy is new enough.
const (
	freshTime = 5 * time.Second
	loadTime  = 20 * time.Second
)

// New returns the registry of a cluster.
func New(records *store.Store) *Registry { return &Registry{store: records} }

// Close ends the watch.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copy != nil {
		r.copy.stop()
		r.copy = nil
	}
}

// closeUnused ends the watch, unless a request came when the timer had fired already.
func (r *Registry) closeUnused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copy != nil && time.Since(r.used) >= idleTime {
		r.copy.stop()
		r.copy = nil
	}
}

// mirror returns the copy, and keeps it for another idleTime. The first call begins to watch.
func (r *Registry) mirror() *mirror {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copy == nil {
		r.copy = newMirror(r.store)
		r.unused = time.AfterFunc(idleTime, r.closeUnused)
	}
	r.used = time.Now()
	r.unused.Reset(idleTime)
	return r.copy
}

// look is a function that a view calls with the copy. It must not change the copy, or keep a
// reference to it.
type look func(*mirror)

// freshView calls a function with the copy when the copy is as new as etcd is now.
func (r *Registry) freshView(ctx context.Context, see look) error {
	m := r.mirror()
	request, stop := context.WithTimeout(ctx, freshTime)
	defer stop()
	now, err := r.store.Get(request, r.store.Leader(), clientv3.WithCountOnly())
	if err != nil {
		return unavailable(err)
	}
	return m.waitFor(ctx, now.Header.Revision, see)
}

// staleView calls a function with the copy as it is. The copy may be behind etcd, but it has been
// read.
func (r *Registry) staleView(ctx context.Context, see look) error {
	return r.mirror().waitFor(ctx, 1, see)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", schema.ErrUnavailable, err) }
