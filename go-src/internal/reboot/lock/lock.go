// Package lock keeps the reboot lock of a group of machines in etcd: the semaphore, the
// machines that are present, and those that wait for the lock. The keys of a group are
//
//	/coreos.com/updateengine/rebootlock[/groups/GROUP]/semaphore     the semaphore
//	/coreos.com/updateengine/rebootlock[/groups/GROUP]/machines/ID   a machine, with a lease
//	/coreos.com/updateengine/rebootlock[/groups/GROUP]/waiting/ID    a machine that waits for the lock, with a lease
//
// The first is upstream's key. A machine takes the lock by replacing the semaphore with one
// that names the machine, if the semaphore has not changed since the machine read it.
package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/cli/redact"
	"coreos/internal/reboot/semaphore"
)

const prefix = "/coreos.com/updateengine/rebootlock"

// Lock is the lock of one group.
type Lock struct {
	etcd *clientv3.Client
	keys string
}

// New returns the lock of a group, "" for the default one.
func New(etcd *clientv3.Client, group string) *Lock {
	keys := prefix + "/"
	if group != "" {
		keys += "groups/" + url.QueryEscape(group) + "/"
	}
	return &Lock{etcd, keys}
}

// requestTime is the time limit of a request to etcd. It is longer than an election takes.
const requestTime = 10 * time.Second

// errOvertaken is the error of a change that other machines have overtaken.
var errOvertaken = errors.New("too many machines change the semaphore at the same time; try again")

// tries bounds the attempts of a change that other machines keep overtaking.
const tries = 30

// newPauses returns the random pauses between these attempts, of up to 50 ms.
func newPauses() backoff.BackOff {
	const mean = 25 * time.Millisecond
	return &backoff.ExponentialBackOff{InitialInterval: mean, MaxInterval: mean, Multiplier: 1, RandomizationFactor: 1}
}

// unreachable adds the endpoints to an error of etcd.
func (l *Lock) unreachable(err error) error {
	return fmt.Errorf("etcd at %v: %w", redact.URLs(l.etcd.Endpoints()), err)
}

// Get returns the semaphore. If the group has none, it returns a new one.
func (l *Lock) Get(ctx context.Context) (*semaphore.Semaphore, error) {
	s, _, err := l.read(ctx)
	return s, err
}

// read returns the semaphore with the revision of its last change, 0 if there is none.
func (l *Lock) read(ctx context.Context) (*semaphore.Semaphore, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	got, err := l.etcd.Get(ctx, l.keys+"semaphore")
	if err != nil {
		return nil, 0, l.unreachable(err)
	}
	if len(got.Kvs) == 0 {
		return semaphore.New(), 0, nil
	}
	s, err := semaphore.Parse(got.Kvs[0].Value)
	if err != nil {
		return nil, 0, fmt.Errorf("etcd key %ssemaphore: %w; correct it, or delete it while no machine restarts", l.keys, err)
	}
	return s, got.Kvs[0].ModRevision, nil
}

// Change applies f to the semaphore and returns the result. It calls f again if another
// machine changes the semaphore meanwhile. As the answer to a write can be lost, f must
// give the same result if it was applied before.
func (l *Lock) Change(ctx context.Context, f func(*semaphore.Semaphore) error) (*semaphore.Semaphore, error) {
	return backoff.Retry(ctx, func() (*semaphore.Semaphore, error) {
		s, err := l.change(ctx, f)
		if err != nil && !errors.Is(err, errOvertaken) {
			err = backoff.Permanent(err)
		}
		return s, err
	}, backoff.WithBackOff(newPauses()), backoff.WithMaxTries(tries))
}

// change makes one attempt. It fails with errOvertaken if another machine has changed the
// semaphore meanwhile.
func (l *Lock) change(ctx context.Context, f func(*semaphore.Semaphore) error) (*semaphore.Semaphore, error) {
	s, revision, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	before := s.String()
	if err := f(s); err != nil {
		return s, err
	}
	if s.String() == before && revision != 0 {
		return s, nil
	}
	if done, err := l.exchange(ctx, s, revision); done || err != nil {
		return s, err
	}
	return nil, errOvertaken
}

func (l *Lock) exchange(ctx context.Context, s *semaphore.Semaphore, revision int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	key := l.keys + "semaphore"
	answer, err := l.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, s.String())).Commit()
	if err != nil {
		return false, l.unreachable(err)
	}
	return answer.Succeeded, nil
}

// Watch returns a channel that receives a value after changes of the semaphore until the
// context ends. One value may stand for several changes or for none.
func (l *Lock) Watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			// When etcd ends a watch, as after a compaction, a new one begins.
			for range l.etcd.Watch(clientv3.WithRequireLeader(ctx), l.keys+"semaphore") {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	return changed
}

// Machine describes a machine of the group.
type Machine struct {
	ID      string `json:"-"`
	Host    string `json:"host,omitempty"`
	Version string `json:"version,omitempty"` // the running version
	Next    string `json:"next,omitempty"`    // the version after the next restart
	State   string `json:"state"`             // as in coordinator.conf
	Waiting string `json:"waiting,omitempty"` // what it waits for, in words
	// Window is the start of the reboot window that the machine waits for; zero if it waits
	// for none.
	Window time.Time `json:"window,omitzero"`
	// Turn is its position among the machines that wait for the lock, from 1; 0 if it does
	// not wait.
	Turn int `json:"turn,omitempty"`
}

// Machines returns the machines that are present: first those that wait for the lock, in
// the order in which they began to wait, then the others.
func (l *Lock) Machines(ctx context.Context) ([]Machine, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	got, err := l.etcd.Txn(ctx).Then(
		clientv3.OpGet(l.keys+"waiting/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend)),
		clientv3.OpGet(l.keys+"machines/", clientv3.WithPrefix()),
	).Commit()
	if err != nil {
		return nil, l.unreachable(err)
	}
	waiting, present := got.Responses[0].GetResponseRange().Kvs, got.Responses[1].GetResponseRange().Kvs
	byID := map[string]Machine{}
	var order []string
	for _, kv := range present {
		m := Machine{ID: string(kv.Key[len(l.keys+"machines/"):])}
		if json.Unmarshal(kv.Value, &m) != nil {
			continue // the machine runs a version with another format
		}
		byID[m.ID] = m
		order = append(order, m.ID)
	}
	var machines []Machine
	for _, kv := range waiting {
		id := string(kv.Key[len(l.keys+"waiting/"):])
		if m, ok := byID[id]; ok {
			m.Turn = len(machines) + 1
			machines = append(machines, m)
			delete(byID, id)
		}
	}
	for _, id := range order {
		if m, ok := byID[id]; ok {
			machines = append(machines, m)
		}
	}
	return machines, nil
}
