package v2proxy

import (
	"context"
	"errors"
	"path"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Store implements the store of etcd 2 on etcd 3. It keeps no state.
type Store struct {
	client  *clientv3.Client
	records *records
	metrics *metrics
	// lists limits how many directories are in memory at the same time.
	lists chan struct{}
	// cluster is the id of the cluster, once etcd has answered.
	cluster atomic.Uint64
}

const maxLists = 4

// NewStore returns a store on a cluster.
func NewStore(client *clientv3.Client) *Store {
	return &Store{
		client:  client,
		records: &records{kv: client.KV, known: map[int64]*record{}},
		metrics: newMetrics(),
		lists:   make(chan struct{}, maxLists),
	}
}

// reads is how often a read is tried within its time. A read from a member that hangs is
// tried with another member.
const reads = 3

// readTxn runs a transaction that only reads. Its operations must be linearizable unless
// the caller permits otherwise.
func (s *Store) readTxn(ctx context.Context, ops ...clientv3.Op) (*clientv3.TxnResponse, error) {
	var share time.Duration
	if end, ok := ctx.Deadline(); ok {
		share = time.Until(end) / reads
	}
	for try := 1; ; try++ {
		one, cancel := ctx, context.CancelFunc(func() {})
		if share > 0 && try < reads {
			one, cancel = context.WithTimeout(ctx, share)
		}
		resp, err := s.client.Txn(one).Then(ops...).Commit()
		cancel()
		if err == nil {
			s.cluster.Store(resp.Header.ClusterId)
		}
		if err == nil || try == reads || ctx.Err() != nil || !hung(err) {
			return resp, err
		}
	}
}

func hung(err error) bool {
	return failure(err, false).Code == CodeRaftInternal && errors.Is(err, context.DeadlineExceeded)
}

// step is a directory above a path.
type step struct {
	path   string
	file   *mvccpb.KeyValue // set if a file has this path
	marker *mvccpb.KeyValue // nil if the directory has no marker or does not exist
}

// state is the state of a path at one revision.
type state struct {
	header  *etcdserverpb.ResponseHeader
	path    string
	parents []step
	file    *mvccpb.KeyValue
	// marker is the marker of the directory, or nil if it has none.
	marker *mvccpb.KeyValue
	// beneath is the first key of the directory: its marker if there is one.
	beneath *mvccpb.KeyValue
	// order is the revision of the last in-order creation.
	order int64
}

// readOps returns the operations whose results parseState reads. Markers are read with
// their values: from 3.7 on, etcd does not return the lease of a key without its value.
func readOps(p string, opts ...clientv3.OpOption) []clientv3.Op {
	with := func(more ...clientv3.OpOption) []clientv3.OpOption { return append(more, opts...) }
	ops := []clientv3.Op{clientv3.OpGet(orderKey(path.Dir(p)), with(clientv3.WithKeysOnly())...)}
	for _, dir := range ancestors(p) {
		ops = append(ops,
			clientv3.OpGet(dir, with(clientv3.WithKeysOnly())...),
			clientv3.OpGet(marker(dir), with()...))
	}
	if p != "/" {
		ops = append(ops,
			clientv3.OpGet(p, with()...),
			clientv3.OpGet(marker(p), with()...),
			clientv3.OpGet(marker(p), with(clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())...))
	}
	return ops
}

func parseState(p string, resp *clientv3.TxnResponse) *state {
	st := &state{header: resp.Header, path: p}
	next := func() *mvccpb.KeyValue {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		resp.Responses = resp.Responses[1:]
		if len(kvs) == 0 {
			return nil
		}
		return kvs[0]
	}
	if order := next(); order != nil {
		st.order = order.ModRevision
	}
	for _, dir := range ancestors(p) {
		st.parents = append(st.parents, step{path: dir, file: next(), marker: next()})
	}
	if p != "/" {
		st.file, st.marker, st.beneath = next(), next(), next()
	}
	return st
}

func (s *Store) read(ctx context.Context, p string, opts ...clientv3.OpOption) (*state, error) {
	resp, err := s.readTxn(ctx, readOps(p, opts...)...)
	if err != nil {
		return nil, err
	}
	return parseState(p, resp), nil
}

func (st *state) revision() int64 { return st.header.Revision }

// isDir reports whether the path is a directory. If v3 clients made both a file and a
// directory, the file counts.
func (st *state) isDir() bool { return st.path == "/" || st.file == nil && st.beneath != nil }

func (st *state) exists() bool { return st.file != nil || st.isDir() }

// inherited returns the lease of the directory above, which applies to everything in it, or
// 0.
func (st *state) inherited() int64 {
	for i := len(st.parents) - 1; i >= 0; i-- {
		if m := st.parents[i].marker; m != nil {
			return m.Lease
		}
	}
	return 0
}

// dirNode returns the node of the directory. Its indexes are those of the marker, or of the
// first key in it.
func (st *state) dirNode() *Node {
	if st.path == "/" {
		return &Node{Dir: true}
	}
	if st.marker == nil {
		return newNode(st.path, st.beneath, true, 0)
	}
	return newNode(st.path, st.marker, true, st.inherited())
}

// blocked returns an error if a file is where a directory is needed.
func (st *state) blocked() *Error {
	for _, p := range st.parents {
		if p.file != nil {
			return fail(CodeNotDir, st.revision(), p.path)
		}
	}
	return nil
}

// missing returns the error that the key does not exist. It names the outermost part that
// is missing, for which it has to read directories without a marker.
func (s *Store) missing(ctx context.Context, st *state) error {
	for _, p := range st.parents {
		if p.marker != nil {
			continue
		}
		got, err := s.readTxn(ctx, clientv3.OpGet(marker(p.path), clientv3.WithPrefix(), clientv3.WithLimit(1),
			clientv3.WithKeysOnly(), clientv3.WithRev(st.revision())))
		if err != nil {
			return err
		}
		if len(got.Responses[0].GetResponseRange().Kvs) == 0 {
			return fail(CodeKeyNotFound, st.revision(), p.path)
		}
	}
	return fail(CodeKeyNotFound, st.revision(), st.path)
}
