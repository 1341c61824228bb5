package v2proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/conn"
)

// tries is how often a write is tried that conflicts with other writes.
const tries = 64

// change is a write that was computed from a state: the comparisons, the operations and the
// event. A change without operations was completed without a transaction.
type change struct {
	compares []clientv3.Cmp
	ops      []clientv3.Op
	record   record
	// lease is the lease of the key, or 0.
	lease int64
	// event returns the event for a revision and the results of ops.
	event func(revision int64, results []*etcdserverpb.ResponseOp) *Event
}

// errConflict says that the plan has to be computed again from the newer state.
var errConflict = errors.New("the key was changed meanwhile")

// writer performs one write.
type writer struct {
	*Store
	req *request
	// granted is the lease that was created for this write, or 0.
	granted int64
}

// plan computes a change from a state.
type plan func(context.Context, *state) (*change, error)

// plan returns the plan for the request, and the path whose state the plan needs.
func (w *writer) plan() (string, plan) {
	switch w.req.method {
	case http.MethodPost:
		// The name is not known yet; any name has the same directories above it.
		return marker(w.req.path) + "new", w.inOrder
	case http.MethodDelete:
		return w.req.path, w.remove
	}
	return w.req.path, w.put
}

// run reads the state, computes the change and commits it, until there is no conflict with
// another write. The response is for the revision in the header.
func (w *writer) run(ctx context.Context, p string, plan plan) (*Event, *etcdserverpb.ResponseHeader, error) {
	st, err := w.read(ctx, p)
	for try := 1; err == nil; try++ {
		var c *change
		if c, err = plan(ctx, st); err == nil {
			if len(c.ops) == 0 {
				return c.event(st.revision(), nil), st.header, nil
			}
			var resp *clientv3.TxnResponse
			tracked, delivery := conn.Track(ctx)
			if resp, err = w.commit(tracked, st, c); err == nil && resp.Succeeded {
				return c.event(resp.Header.Revision, resp.Responses), resp.Header, nil
			} else if err == nil {
				st = parseState(p, resp)
				err = errConflict
			} else if !refused(err) {
				return nil, nil, failure(err, !delivery.NotDone(err))
			}
		}
		if again(err) && try < tries {
			w.metrics.conflicts.Inc()
			st, err = w.stateForRetry(ctx, p, st, err, try)
		}
	}
	w.abandon()
	if again(err) {
		err = fail(CodeRaftInternal, st.revision(), "%d other writes came between; nothing was written", tries)
	}
	return nil, nil, failure(err, false)
}

func (w *writer) commit(ctx context.Context, st *state, c *change) (*clientv3.TxnResponse, error) {
	ops := append(c.ops, clientv3.OpPut(recordKey, c.record.encode()))
	return w.client.Txn(ctx).If(c.compares...).Then(ops...).Else(readOps(st.path)...).Commit()
}

// stateForRetry waits longer after more tries, and returns the state for the next try: the one
// that the transaction returned, or a newer one.
func (w *writer) stateForRetry(ctx context.Context, p string, st *state, err error, try int) (*state, error) {
	if errors.Is(err, errConflict) && try <= 2 {
		return st, nil
	}
	if try > 2 {
		select {
		case <-time.After(rand.N(time.Duration(min(try, 10)) * time.Millisecond)):
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
	return w.read(ctx, p)
}

// refused reports whether etcd refused the transaction because a lease or a key that it
// needs no longer exists.
func refused(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, rpctypes.ErrKeyNotFound)
}

func again(err error) bool { return errors.Is(err, errConflict) || refused(err) }

// abandon revokes a lease that was created and is not used. The response does not wait for
// it.
func (w *writer) abandon() {
	lease := w.granted
	if lease == 0 {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _ = w.client.Revoke(ctx, clientv3.LeaseID(lease))
	}()
}

// inParents adds to a change that the directories above have not changed, and creates those
// that are missing.
func (c *change) inParents(st *state) {
	lease := st.inherited()
	for _, p := range st.parents {
		key := marker(p.path)
		c.compares = append(c.compares, absent(p.path))
		if p.marker == nil {
			c.compares = append(c.compares, absent(key))
			c.ops = append(c.ops, clientv3.OpPut(key, "", clientv3.WithLease(clientv3.LeaseID(lease))))
			continue
		}
		// Its lease may be the lease of the new key.
		c.compares = append(c.compares, unchanged(p.marker))
	}
}

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

func present(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), ">", 0) }

// empty requires that no key has a prefix: a comparison over no keys is true.
func empty(prefix string) clientv3.Cmp { return absent(prefix).WithPrefix() }

func unchanged(kv *mvccpb.KeyValue) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)
}

// prevOf returns the node of the file that a put replaced, or nil.
func prevOf(p string, result *etcdserverpb.ResponseOp, inherited int64) *Node {
	if prev := result.GetResponsePut().GetPrevKv(); prev != nil {
		return newNode(p, prev, false, inherited)
	}
	return nil
}
