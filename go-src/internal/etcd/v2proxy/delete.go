package v2proxy

import (
	"context"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// remove deletes, or compares and deletes.
func (w *writer) remove(ctx context.Context, st *state) (*change, error) {
	r := w.req
	if st.path == "/" && !r.compares() {
		return nil, fail(CodeRootReadOnly, st.revision(), "/")
	}
	if err := st.blocked(); err != nil {
		return nil, err
	}
	switch {
	case !st.exists():
		return nil, w.missing(ctx, st)
	case !st.isDir():
		return w.removeFile(ctx, st)
	case r.compares() || !r.dir && !r.recursive:
		return nil, fail(CodeNotFile, st.revision(), st.path)
	case !r.recursive:
		return w.removeEmpty(ctx, st)
	}
	return w.removeTree(st), nil
}

func (w *writer) removeFile(ctx context.Context, st *state) (*change, error) {
	action := Delete
	if w.req.compares() {
		action = CompareAndDelete
	}
	if err := w.mismatch(ctx, st); err != nil {
		return nil, err
	}
	p, inherited := st.path, st.inherited()
	return &change{
		compares: append(w.wanted(st), present(p)),
		ops:      []clientv3.Op{clientv3.OpDelete(p, clientv3.WithPrevKV())},
		record:   record{Action: action, Key: p},
		event: func(revision int64, results []*etcdserverpb.ResponseOp) *Event {
			prev := newNode(p, results[0].GetResponseDeleteRange().PrevKvs[0], false, inherited)
			return &Event{Action: action, Node: gone(p, false, revision, prev.CreatedIndex), PrevNode: prev}
		},
	}, nil
}

// removeTree deletes a directory and everything in it. At least one key must still exist.
func (w *writer) removeTree(st *state) *change {
	p, prev := st.path, st.dirNode()
	return &change{
		compares: []clientv3.Cmp{absent(p), present(string(st.beneath.Key))},
		ops: []clientv3.Op{
			clientv3.OpDelete(marker(p), clientv3.WithPrefix()), clientv3.OpDelete(movedKey(p), clientv3.WithPrefix()),
		},
		record: record{Action: Delete, Key: p, Dir: true, Created: prev.CreatedIndex, Modified: prev.ModifiedIndex},
		event: func(revision int64, _ []*etcdserverpb.ResponseOp) *Event {
			return &Event{Action: Delete, Node: gone(p, true, revision, prev.CreatedIndex), PrevNode: prev}
		},
	}
}

// removeEmpty deletes an empty directory, which has no hidden keys either.
func (w *writer) removeEmpty(ctx context.Context, st *state) (*change, error) {
	first := marker(st.path) + "\x00"
	end := clientv3.GetPrefixRangeEnd(marker(st.path))
	got, err := w.readTxn(ctx, clientv3.OpGet(first, clientv3.WithRange(end), clientv3.WithLimit(1), clientv3.WithKeysOnly()))
	if err != nil {
		return nil, err
	}
	if len(got.Responses[0].GetResponseRange().Kvs) > 0 {
		return nil, fail(CodeDirNotEmpty, st.revision(), st.path)
	}
	c := w.removeTree(st)
	c.compares = append(c.compares, absent(first).WithRange(end))
	return c, nil
}
