package registry

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/conn"
	"coreos/internal/fleet/schema"
)

// errChanged says that records changed during an attempt to change them.
var errChanged = errors.New("it changed meanwhile")

// attempts bounds the attempts of a change.
const attempts = 8

// transaction is a change of records that succeeds if all conditions hold. Without writes there
// is nothing to change.
type transaction struct {
	conditions []clientv3.Cmp
	writes     []clientv3.Op
}

// plan makes a transaction from what the copy shows.
type plan func(*mirror) (transaction, error)

// change makes a transaction. It tries again if etcd has changed since the copy was read.
func (r *Registry) change(ctx context.Context, what string, make plan) error {
	for range attempts {
		if done, err := r.attempt(ctx, what, r.freshView, make); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %s: %w, %d times", schema.ErrConflict, what, errChanged, attempts)
}

// changeUnit is change for a transaction that compares the revisions of all records from which
// it is made. Such a transaction fails if the copy is behind, so the first attempt uses the copy
// as it is: with thousands of changes at a time most of these succeed. If the copy leads to an
// error or to no change, that may be out of date, and the next attempt waits for a fresh copy.
func (r *Registry) changeUnit(ctx context.Context, what string, make plan) error {
	done, err := r.attempt(ctx, what, r.staleView, func(m *mirror) (transaction, error) {
		t, err := make(m)
		if err != nil || len(t.writes) == 0 {
			return transaction{}, errChanged
		}
		return t, nil
	})
	if done || err != nil && !errors.Is(err, errChanged) {
		return err
	}
	return r.change(ctx, what, make)
}

// attempt makes one transaction. It reports false without an error if a condition does not hold.
func (r *Registry) attempt(ctx context.Context, what string, view func(context.Context, look) error, make plan) (done bool, err error) {
	var t transaction
	if unread := view(ctx, func(m *mirror) { t, err = make(m) }); unread != nil {
		return false, unread
	}
	if err != nil || len(t.writes) == 0 {
		return err == nil, err
	}
	request, stop := context.WithTimeout(ctx, freshTime)
	defer stop()
	request, delivery := conn.Track(request)
	answer, err := r.store.Txn(request).If(t.conditions...).Then(t.writes...).Commit()
	if err != nil {
		if delivery.NotDone(err) {
			return false, unavailable(fmt.Errorf("%s: nothing was changed: %w", what, err))
		}
		return false, unavailable(fmt.Errorf("%s: etcd has not confirmed the change, and it is not known whether it was made: %w", what, err))
	}
	return answer.Succeeded, nil
}
