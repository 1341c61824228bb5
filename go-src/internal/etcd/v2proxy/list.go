package v2proxy

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// MaxListBytes is the size limit of the keys and values in one response.
const MaxListBytes = 32 << 20

// The size of a page is adapted to the size of the keys.
const (
	firstPage, lastPage = 32, 4096
	pageBytes           = 1 << 20
)

// Get returns a key, or a directory with its content.
func (s *Store) Get(ctx context.Context, r *request) (*Event, *etcdserverpb.ResponseHeader, error) {
	var opts []clientv3.OpOption
	if r.serializable {
		opts = append(opts, clientv3.WithSerializable())
	}
	st, err := s.read(ctx, r.path, opts...)
	if err != nil {
		return nil, nil, failure(err, false)
	}
	if err := st.blocked(); err != nil {
		return nil, nil, err
	}
	if !st.exists() {
		return nil, nil, failure(s.missing(ctx, st), false)
	}
	var n *Node
	if st.isDir() {
		n, err = s.list(ctx, st, r.recursive, opts)
	} else {
		n = newNode(st.path, st.file, false, st.inherited())
	}
	if err == nil {
		err = s.fillTTLs(ctx, n)
	}
	if err != nil {
		return nil, nil, failure(err, false)
	}
	return &Event{Action: Get, Node: n}, st.header, nil
}

// list reads a directory at the revision of its state, sorted by name.
func (s *Store) list(ctx context.Context, st *state, recursive bool, opts []clientv3.OpOption) (*Node, error) {
	select {
	case s.lists <- struct{}{}:
		defer func() { <-s.lists }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	lease := st.inherited()
	if m := st.marker; m != nil {
		lease = m.Lease
	}
	t := newTree(st.path, st.dirNode(), lease, recursive)
	prefix := marker(st.path)
	from, end, limit, bytes := prefix, clientv3.GetPrefixRangeEnd(prefix), firstPage, 0
	opts = append([]clientv3.OpOption{clientv3.WithRange(end), clientv3.WithRev(st.revision())}, opts...)
	for {
		resp, err := s.readTxn(ctx, clientv3.OpGet(from, append(opts, clientv3.WithLimit(int64(limit)))...))
		if err != nil {
			return nil, err
		}
		page, size := resp.Responses[0].GetResponseRange(), 0
		for _, kv := range page.Kvs {
			size += len(kv.Key) + len(kv.Value)
			t.add(kv)
		}
		if bytes += size; bytes > MaxListBytes {
			return nil, fail(CodeInvalidField, st.revision(),
				"the directory holds more than %d bytes: ask for parts of it", MaxListBytes)
		}
		if !page.More {
			sortNodes(t.root)
			return t.root, nil
		}
		from = t.after(string(page.Kvs[len(page.Kvs)-1].Key))
		limit = pageSize(limit, size)
	}
}

// sortNodes sorts by key. The order differs from etcd's: "/a-b" is after "/a/c".
func sortNodes(n *Node) {
	slices.SortFunc(n.Nodes, func(a, b *Node) int { return strings.Compare(a.Key, b.Key) })
	for _, child := range n.Nodes {
		sortNodes(child)
	}
}

func pageSize(limit, size int) int {
	switch {
	case size < pageBytes:
		return min(2*limit, lastPage)
	case size > 4*pageBytes:
		return max(limit/2, 1)
	}
	return limit
}

// tree builds nodes from keys in the order of etcd. A file is before the keys of a
// directory with the same name, but not immediately before them.
type tree struct {
	path      string
	root      *Node
	recursive bool
	dirs      map[string]*treeDir
	files     map[string]bool
}

type treeDir struct {
	node  *Node
	lease int64
}

func newTree(p string, root *Node, lease int64, recursive bool) *tree {
	return &tree{
		path: p, root: root, recursive: recursive,
		dirs: map[string]*treeDir{p: {root, lease}}, files: map[string]bool{},
	}
}

// add adds a key, unless no path stands for it, it is hidden, or a file is at a directory
// above it.
func (t *tree) add(kv *mvccpb.KeyValue) {
	p, isDir, ok := pathOf(string(kv.Key))
	if !ok || !under(t.path, p) || hidden(t.path, p) {
		return
	}
	parent, shown := t.parent(p, kv)
	if parent == nil {
		return
	}
	switch {
	case isDir && !t.files[p]:
		t.dir(parent, p, kv, kv.Lease)
	case !isDir && shown && t.dirs[p] == nil:
		t.files[p] = true
		parent.node.Nodes = append(parent.node.Nodes, newNode(p, kv, false, parent.lease))
	}
}

// parent returns the directory of a path, which may have no marker, and whether its content
// is shown. It returns nil if a file is in the way, or if the path is below what is shown.
func (t *tree) parent(p string, kv *mvccpb.KeyValue) (*treeDir, bool) {
	at := t.dirs[t.path]
	rest := strings.TrimPrefix(p, marker(t.path))
	for i := 0; i < len(rest); i++ {
		if rest[i] != '/' {
			continue
		}
		dir := marker(t.path) + rest[:i]
		if t.files[dir] {
			return nil, false
		}
		if t.dirs[dir] == nil {
			t.dir(at, dir, kv, 0)
		}
		if at = t.dirs[dir]; !t.recursive {
			return nil, false
		}
	}
	return at, true
}

// dir adds a directory. The key is its marker, or the first key in it.
func (t *tree) dir(parent *treeDir, p string, kv *mvccpb.KeyValue, lease int64) {
	if t.dirs[p] != nil {
		return
	}
	n := newNode(p, kv, true, parent.lease)
	if lease == 0 {
		n.lease = 0
	}
	t.dirs[p] = &treeDir{n, lease}
	parent.node.Nodes = append(parent.node.Nodes, n)
}

// after returns where the next page begins: after the whole directory if its content is not
// shown.
func (t *tree) after(key string) string {
	prefix := marker(t.path)
	name, _, deep := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	if t.recursive || !deep || name == "" {
		return key + "\x00"
	}
	return clientv3.GetPrefixRangeEnd(prefix + name + "/")
}
