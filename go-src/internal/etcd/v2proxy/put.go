package v2proxy

import (
	"context"
	"fmt"
	"path"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// put sets, creates, updates, or compares and swaps, by the rules of etcd 2.
func (w *writer) put(ctx context.Context, st *state) (*change, error) {
	r := w.req
	if st.path == "/" {
		return nil, fail(CodeRootReadOnly, st.revision(), "/")
	}
	if err := st.blocked(); err != nil {
		return nil, err
	}
	switch {
	case r.prevExist != nil && !*r.prevExist:
		if st.exists() {
			return nil, fail(CodeNodeExist, st.revision(), st.path)
		}
		return w.create(ctx, st)
	case r.compares():
		return w.replace(ctx, st, CompareAndSwap)
	case r.prevExist != nil && st.isDir():
		return w.updateDir(ctx, st)
	case r.prevExist != nil:
		return w.replace(ctx, st, Update)
	case r.refresh:
		return w.replace(ctx, st, Set)
	case st.isDir():
		return nil, fail(CodeNotFile, st.revision(), st.path)
	case r.dir && st.file != nil:
		return w.fileToDir(ctx, st)
	case r.dir:
		return w.makeDir(ctx, st, Set)
	}
	return w.set(ctx, st)
}

// create creates a key that does not exist.
func (w *writer) create(ctx context.Context, st *state) (*change, error) {
	if w.req.dir {
		return w.makeDir(ctx, st, Create)
	}
	c, err := w.file(ctx, st, Create)
	if err != nil {
		return nil, err
	}
	c.compares = append(c.compares, absent(st.path), empty(marker(st.path)))
	return c, nil
}

// set writes a file, whether it exists or not. Other writes of it are no conflict.
func (w *writer) set(ctx context.Context, st *state) (*change, error) {
	c, err := w.file(ctx, st, Set)
	if err != nil {
		return nil, err
	}
	if st.file != nil {
		c.compares = append(c.compares, present(st.path))
	} else {
		c.compares = append(c.compares, empty(marker(st.path)))
	}
	return c, nil
}

// replace changes a file that exists and matches the request.
func (w *writer) replace(ctx context.Context, st *state, action string) (*change, error) {
	if !st.exists() {
		return nil, w.missing(ctx, st)
	}
	if st.isDir() {
		return nil, fail(CodeNotFile, st.revision(), st.path)
	}
	if err := w.mismatch(ctx, st); err != nil {
		return nil, err
	}
	if w.req.refresh {
		return w.refreshFile(ctx, st, action)
	}
	c, err := w.file(ctx, st, action)
	if err != nil {
		return nil, err
	}
	c.compares = append(append(c.compares, present(st.path)), w.wanted(st)...)
	return c, nil
}

// mismatch returns an error if the file does not match the request.
func (w *writer) mismatch(ctx context.Context, st *state) error {
	r := w.req
	index := fmt.Sprintf("[%d != %d]", r.prevIndex, st.file.ModRevision)
	value := fmt.Sprintf("[%s != %s]", r.prevValue, st.file.Value)
	indexOK := r.prevIndex == 0 || r.prevIndex == st.file.ModRevision
	if !indexOK {
		var err error
		if indexOK, err = w.hasIndex(ctx, st, r.prevIndex); err != nil {
			return err
		}
	}
	valueOK := r.prevValue == "" || r.prevValue == string(st.file.Value)
	switch {
	case indexOK && valueOK:
		return nil
	case indexOK:
		index = ""
	case valueOK:
		value = ""
	default:
		value += " "
	}
	return &Error{Code: CodeTestFailed, Message: messages[CodeTestFailed], Cause: value + index, Index: st.revision()}
}

// wanted returns the comparisons in the request, for a file that matches it.
func (w *writer) wanted(st *state) []clientv3.Cmp {
	var all []clientv3.Cmp
	if w.req.prevIndex > 0 {
		all = append(all, unchanged(st.file))
	}
	if w.req.prevValue != "" {
		all = append(all, clientv3.Compare(clientv3.Value(st.path), "=", w.req.prevValue))
	}
	return all
}

// file returns the change that writes the file.
func (w *writer) file(ctx context.Context, st *state, action string) (*change, error) {
	lease, err := w.lease(ctx, st)
	if err != nil {
		return nil, err
	}
	p, value, inherited := st.path, w.req.value, st.inherited()
	c := &change{
		record: record{Action: action, Key: p},
		ops:    []clientv3.Op{clientv3.OpPut(p, value, clientv3.WithLease(clientv3.LeaseID(lease)), clientv3.WithPrevKV())},
	}
	if st.file != nil && lease != 0 && lease == st.file.Lease {
		// The lease was kept alive for this file only.
		c.compares = append(c.compares, clientv3.Compare(clientv3.LeaseValue(p), "=", lease))
	}
	c.inParents(st)
	c.event = func(revision int64, results []*etcdserverpb.ResponseOp) *Event {
		prev := prevOf(p, results[0], inherited)
		created := revision
		if prev != nil {
			created = prev.CreatedIndex
		}
		kv := &mvccpb.KeyValue{Value: []byte(value), ModRevision: revision, CreateRevision: created, Lease: lease}
		return &Event{Action: action, Node: newNode(p, kv, false, inherited), PrevNode: prev}
	}
	return c, nil
}

// inOrder creates a key with an ascending name. The name is the revision after the one that
// was read. It is larger than every earlier name, since every creation writes the order
// key.
func (w *writer) inOrder(ctx context.Context, st *state) (*change, error) {
	if err := st.blocked(); err != nil {
		return nil, err
	}
	key := orderKey(path.Dir(st.path))
	named := *st
	named.path = path.Join(path.Dir(st.path), fmt.Sprintf("%020d", st.revision()+1))
	named.file, named.marker, named.beneath = nil, nil, nil
	c, err := w.create(ctx, &named)
	if err != nil {
		return nil, err
	}
	c.compares = append(c.compares, clientv3.Compare(clientv3.ModRevision(key), "=", st.order))
	c.ops = append(c.ops, clientv3.OpPut(key, ""))
	return c, nil
}
