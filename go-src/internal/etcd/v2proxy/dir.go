package v2proxy

import (
	"context"
	"encoding/json"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// maxMoved is how many keys can be moved to another lease at once. A transaction of etcd
// has at most 128 operations.
const maxMoved = 100

// makeDir makes a directory where nothing exists.
func (w *writer) makeDir(ctx context.Context, st *state, action string) (*change, error) {
	c, err := w.putMarker(ctx, st, action)
	if err != nil {
		return nil, err
	}
	c.compares = append(c.compares, absent(st.path), empty(marker(st.path)))
	return c, nil
}

// fileToDir replaces a file by a directory.
func (w *writer) fileToDir(ctx context.Context, st *state) (*change, error) {
	c, err := w.putMarker(ctx, st, Set)
	if err != nil {
		return nil, err
	}
	c.compares = append(c.compares, unchanged(st.file), empty(marker(st.path)))
	c.ops = append(c.ops, clientv3.OpDelete(st.path))
	c.record.Modified, c.record.Created = st.file.ModRevision, st.file.CreateRevision
	event, prev := c.event, newNode(st.path, st.file, false, st.inherited())
	c.event = func(revision int64, results []*etcdserverpb.ResponseOp) *Event {
		e := event(revision, results)
		e.PrevNode = prev
		return e
	}
	return c, nil
}

// putMarker returns the change that writes the marker of a directory.
func (w *writer) putMarker(ctx context.Context, st *state, action string) (*change, error) {
	lease, err := w.lease(ctx, st)
	if err != nil {
		return nil, err
	}
	p, inherited := st.path, st.inherited()
	c := &change{
		record: record{Action: action, Key: p, Dir: true, Refresh: w.req.refresh},
		lease:  lease,
		ops:    []clientv3.Op{clientv3.OpPut(marker(p), "", clientv3.WithLease(clientv3.LeaseID(lease)))},
	}
	c.inParents(st)
	c.event = func(revision int64, _ []*etcdserverpb.ResponseOp) *Event {
		kv := &mvccpb.KeyValue{ModRevision: revision, CreateRevision: revision, Lease: lease}
		return &Event{Action: action, Node: newNode(p, kv, true, inherited)}
	}
	return c, nil
}

// updateDir changes the TTL of a directory. Nothing else of a directory can change.
func (w *writer) updateDir(ctx context.Context, st *state) (*change, error) {
	if w.req.value != "" {
		return nil, fail(CodeNotFile, st.revision(), st.path)
	}
	c, err := w.putMarker(ctx, st, Update)
	if err != nil {
		return nil, err
	}
	var old int64
	created := st.beneath.CreateRevision
	if m := st.marker; m != nil {
		old = m.Lease
		c.compares = append(c.compares, unchanged(m))
	} else {
		c.compares = append(c.compares, absent(marker(st.path)), present(string(st.beneath.Key)))
	}
	prev, event := st.dirNode(), c.event
	if c.lease != old {
		if err := w.move(ctx, st, c, old, c.lease); err != nil {
			return nil, err
		}
	}
	c.event = func(revision int64, results []*etcdserverpb.ResponseOp) *Event {
		e := event(revision, results)
		e.PrevNode, e.Node.CreatedIndex = prev, created
		return e
	}
	return c, nil
}

// move attaches the keys in the directory to its new lease, except those whose own lease
// ends earlier.
func (w *writer) move(ctx context.Context, st *state, c *change, old, lease int64) error {
	prefix := marker(st.path)
	records := append(movedOps(st.path), clientv3.OpGet(movedKey(st.path), clientv3.WithPrefix()))
	got, err := w.readTxn(ctx, append([]clientv3.Op{clientv3.OpGet(prefix, clientv3.WithPrefix(),
		clientv3.WithLimit(maxMoved+2), clientv3.WithRev(st.revision()))}, records...)...)
	if err != nil {
		return err
	}
	earlier, indexes := movesIn(got.Responses[1:]), moved{}
	kvs := got.Responses[0].GetResponseRange().Kvs
	if len(kvs) > maxMoved {
		return fail(CodeInvalidField, st.revision(),
			"the TTL of a directory of more than %d keys cannot be changed, only kept alive with the TTL that it has", maxMoved)
	}
	// New and changed keys in the directory are conflicts.
	c.compares = append(c.compares,
		clientv3.Compare(clientv3.ModRevision(prefix), "<", st.revision()+1).WithPrefix())
	for _, kv := range kvs {
		moves := kv.Lease == old || kv.Lease == 0
		if !moves && lease != 0 {
			if moves, err = w.outlives(ctx, kv.Lease, lease); err != nil {
				return err
			}
		}
		if p, isDir, ok := pathOf(string(kv.Key)); moves && ok && !isDir {
			indexes[p] = earlier.since(p, kv)
		}
		if moves && string(kv.Key) != prefix {
			c.ops = append(c.ops, clientv3.OpPut(string(kv.Key), "", clientv3.WithIgnoreValue(), clientv3.WithLease(clientv3.LeaseID(lease))))
		}
	}
	record, err := json.Marshal(indexes)
	if err != nil {
		return err
	}
	c.ops = append(c.ops, clientv3.OpPut(movedKey(st.path), string(record), clientv3.WithLease(clientv3.LeaseID(lease))))
	return nil
}
