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
)

// tries bounds how often a write is begun anew because of another's.
const tries = 64

// change is a write, computed from a state: what must still be so, what is done, and
// what is told of it. A change without operations was done without a transaction.
type change struct {
	compares []clientv3.Cmp
	ops      []clientv3.Op
	record   record
	// lease is what the key is put on, or 0.
	lease int64
	// event makes the answer of the revision and the results of ops.
	event func(revision int64, results []*etcdserverpb.ResponseOp) *Event
}

// errConflict is returned by a plan that has to be made anew; the state is the newer one.
var errConflict = errors.New("the key was changed meanwhile")

// writer carries out one write.
type writer struct {
	*Store
	req *request
	// granted is the lease made for this write, or 0.
	granted int64
}

// plan computes a change from a state.
type plan func(context.Context, *state) (*change, error)

// plan is how the request is carried out, and the path whose state that takes.
func (w *writer) plan() (string, plan) {
	switch w.req.method {
	case http.MethodPost:
		// The name is not known yet; any other shows the directories above it.
		return marker(w.req.path) + "new", w.inOrder
	case http.MethodDelete:
		return w.req.path, w.remove
	}
	return w.req.path, w.put
}

// run makes a plan of what it reads and commits it, again and again until no other write
// comes between. The answer is of the revision in the header.
func (w *writer) run(ctx context.Context, p string, plan plan) (*Event, *etcdserverpb.ResponseHeader, error) {
	st, err := w.read(ctx, p)
	for try := 1; err == nil; try++ {
		var c *change
		if c, err = plan(ctx, st); err == nil {
			if len(c.ops) == 0 {
				return c.event(st.revision(), nil), st.header, nil
			}
			var resp *clientv3.TxnResponse
			if resp, err = w.commit(ctx, st, c); err == nil && resp.Succeeded {
				return c.event(resp.Header.Revision, resp.Responses), resp.Header, nil
			} else if err == nil {
				st = parseState(p, resp)
				err = errConflict
			} else if !refused(err) {
				return nil, nil, failure(err, true)
			}
		}
		if again(err) && try < tries {
			w.metrics.conflicts.Inc()
			st, err = w.afresh(ctx, p, st, err, try)
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

// afresh waits, the longer the more tries there were, and returns the state for the
// next: that which a transaction left, or a newer one.
func (w *writer) afresh(ctx context.Context, p string, st *state, err error, try int) (*state, error) {
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

// refused says whether etcd did not begin the transaction, because a lease ended or a
// key went that it needs.
func refused(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, rpctypes.ErrKeyNotFound)
}

func again(err error) bool { return errors.Is(err, errConflict) || refused(err) }

// abandon gives a lease back that nothing hangs on. Who has the answer does not wait.
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

// inParents adds to a change that the directories above are still what they were, and
// makes those that are missing.
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
		// Its lease may be the one that the new key gets.
		c.compares = append(c.compares, unchanged(p.marker))
	}
}

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

func present(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), ">", 0) }

// empty compares that nothing begins with a prefix: of no keys, any comparison with 0 is
// true.
func empty(prefix string) clientv3.Cmp { return absent(prefix).WithPrefix() }

func unchanged(kv *mvccpb.KeyValue) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)
}

// prevOf is the file that a put replaced, as a node, or nil.
func prevOf(p string, result *etcdserverpb.ResponseOp, inherited int64) *Node {
	if prev := result.GetResponsePut().GetPrevKv(); prev != nil {
		return newNode(p, prev, false, inherited)
	}
	return nil
}
