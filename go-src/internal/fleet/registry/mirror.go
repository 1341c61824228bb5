package registry

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// mirror is a copy of a cluster's records.
type mirror struct {
	store *store.Store
	ctx   context.Context
	stop  context.CancelFunc

	mu       sync.Mutex
	advanced chan struct{} // closed when a revision advances
	model    *store.Model
	states   map[string]map[string]store.State // by unit and machine
	// revisions has the revisions of the model and of the states.
	revisions [parts]int64
	// lists has the lists that were made since the last change, nil if none was. All pages of
	// a list come from one.
	lists struct {
		units  []schema.Unit
		states []schema.UnitState
	}
}

// The parts of a mirror, each with a watch of its own.
const (
	clusterPart = iota
	statesPart
	parts
)

// newMirror returns a copy that is empty at first and follows etcd until stop is called.
func newMirror(records *store.Store) *mirror {
	m := &mirror{store: records, advanced: make(chan struct{}), model: store.NewModel(), states: map[string]map[string]store.State{}}
	m.ctx, m.stop = context.WithCancel(context.Background())
	go records.Follow(m.ctx, records.Cluster(), func(batch store.Batch) { m.apply(clusterPart, batch, m.model.Apply) })
	go records.Follow(m.ctx, records.States(), func(batch store.Batch) { m.apply(statesPart, batch, m.applyStates) })
	return m
}

func (m *mirror) apply(part int, batch store.Batch, apply func(store.Batch)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	apply(batch)
	if batch.Reset || len(batch.Events) > 0 {
		m.lists.units, m.lists.states = nil, nil
	}
	m.revisions[part] = max(m.revisions[part], batch.Revision)
	close(m.advanced)
	m.advanced = make(chan struct{})
}

func (m *mirror) applyStates(batch store.Batch) {
	if batch.Reset {
		clear(m.states)
	}
	for _, event := range batch.Events {
		name, id, _ := strings.Cut(event.Key, "/")
		delete(m.states[name], id)
		if state, err := store.Decode[store.State](event.Value); event.Value != nil && err == nil {
			if m.states[name] == nil {
				m.states[name] = map[string]store.State{}
			}
			m.states[name][id] = state
		}
		if len(m.states[name]) == 0 {
			delete(m.states, name)
		}
	}
}

// waitFor waits until the copy has reached a revision, and calls a function with it.
func (m *mirror) waitFor(ctx context.Context, revision int64, see look) error {
	ctx, stop := context.WithTimeout(ctx, loadTime)
	defer stop()
	requested := false
	for {
		m.mu.Lock()
		reached := min(m.revisions[clusterPart], m.revisions[statesPart])
		if reached >= revision {
			defer m.mu.Unlock()
			see(m)
			return nil
		}
		advanced := m.advanced
		m.mu.Unlock()
		if !requested && reached > 0 {
			// etcd sends no revision by itself if nothing below the prefixes has changed.
			requested = true
			if err := m.store.RequestProgress(clientv3.WithRequireLeader(m.ctx)); err != nil {
				return unavailable(err)
			}
		}
		select {
		case <-advanced:
		case <-time.After(freshTime / 5):
			requested = false
		case <-ctx.Done():
			return unavailable(fmt.Errorf("the copy of the cluster is at revision %d, etcd at %d", reached, revision))
		}
	}
}
