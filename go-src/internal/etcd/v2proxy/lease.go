package v2proxy

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

// askers is how many leases are asked concurrently for their TTL for one response.
const askers = 16

// lease returns the lease for the key of the request: 0 without a TTL, the lease of the
// directory above if that ends earlier, the key's own if that can be kept alive, or a new
// one.
func (w *writer) lease(ctx context.Context, st *state) (int64, error) {
	above := st.inherited()
	if w.req.ttl == nil {
		return above, nil
	}
	ttl := *w.req.ttl
	if above != 0 {
		left, err := w.client.TimeToLive(ctx, clientv3.LeaseID(above))
		if err != nil {
			return 0, err
		}
		if left.TTL <= ttl {
			return above, nil
		}
	}
	if w.granted != 0 {
		return w.granted, nil
	}
	kv, prefix := st.file, ""
	if st.isDir() {
		kv, prefix = st.marker, marker(st.path)
	}
	if ok, err := w.keepAlive(ctx, kv, prefix, above, ttl); err != nil || ok {
		return leaseOf(kv), err
	}
	// etcd raises TTLs that are too short for its elections, but refuses 0.
	got, err := w.client.Grant(ctx, max(ttl, 1))
	if err != nil {
		return 0, err
	}
	w.granted = int64(got.ID)
	return w.granted, nil
}

func leaseOf(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return kv.Lease
}

// keepAlive renews the lease of a key, if it has the wanted TTL and only the key and the
// keys with the prefix use it.
func (w *writer) keepAlive(ctx context.Context, kv *mvccpb.KeyValue, prefix string, above, ttl int64) (bool, error) {
	id := clientv3.LeaseID(leaseOf(kv))
	if id == 0 || int64(id) == above {
		return false, nil
	}
	left, err := w.client.TimeToLive(ctx, id, clientv3.WithAttachedKeys())
	if err != nil || left.GrantedTTL != ttl {
		return false, ignoreEnded(err)
	}
	for _, key := range left.Keys {
		own := string(key) == string(kv.Key) || prefix != "" && strings.HasPrefix(strings.TrimPrefix(string(key), movedPrefix), prefix)
		if !own {
			return false, nil
		}
	}
	_, err = w.client.KeepAliveOnce(ctx, id)
	return err == nil, ignoreEnded(err)
}

func ignoreEnded(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// outlives reports whether a lease ends after another one.
func (w *writer) outlives(ctx context.Context, lease, other int64) (bool, error) {
	a, err := w.client.TimeToLive(ctx, clientv3.LeaseID(lease))
	if err != nil {
		return false, err
	}
	b, err := w.client.TimeToLive(ctx, clientv3.LeaseID(other))
	if err != nil {
		return false, err
	}
	return a.TTL > b.TTL, nil
}

// refreshFile renews the TTL of a file. If its lease can be kept alive, nothing is written.
// It then reads the file again, since the lease may have been kept alive for a file that no
// longer matches the request.
func (w *writer) refreshFile(ctx context.Context, st *state, action string) (*change, error) {
	lease, err := w.lease(ctx, st)
	if err != nil {
		return nil, err
	}
	node, prev := newNode(st.path, st.file, false, st.inherited()), newNode(st.path, st.file, false, st.inherited())
	if lease == st.file.Lease {
		now, err := w.read(ctx, st.path)
		if err != nil {
			return nil, err
		}
		if now.file == nil || now.file.ModRevision != st.file.ModRevision {
			*st = *now
			return nil, errConflict
		}
		st.header = now.header
		return &change{event: func(int64, []*etcdserverpb.ResponseOp) *Event {
			return &Event{Action: action, Node: node, PrevNode: prev}
		}}, nil
	}
	c := &change{
		compares: []clientv3.Cmp{unchanged(st.file)},
		record:   record{Action: action, Key: st.path, Refresh: true},
		ops: []clientv3.Op{clientv3.OpPut(st.path, "", clientv3.WithIgnoreValue(),
			clientv3.WithLease(clientv3.LeaseID(lease)))},
	}
	c.inParents(st)
	inherited := st.inherited()
	c.event = func(revision int64, _ []*etcdserverpb.ResponseOp) *Event {
		node.ModifiedIndex, node.lease = revision, 0
		if lease != inherited {
			node.lease = lease
		}
		return &Event{Action: action, Node: node, PrevNode: prev}
	}
	return c, nil
}

// fillTTLs gets the remaining TTL of the nodes and of the nodes in them, for each lease
// once. The nodes of a lease that has ended get no TTL.
func (s *Store) fillTTLs(ctx context.Context, nodes ...*Node) error {
	byLease := map[int64][]*Node{}
	var collect func([]*Node)
	collect = func(nodes []*Node) {
		for _, n := range nodes {
			if n == nil {
				continue
			}
			if n.lease != 0 {
				byLease[n.lease] = append(byLease[n.lease], n)
			}
			collect(n.Nodes)
		}
	}
	collect(nodes)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askers)
	for lease, nodes := range byLease {
		group.Go(func() error {
			left, err := s.client.TimeToLive(ctx, clientv3.LeaseID(lease))
			if err != nil || left.TTL < 0 {
				return err
			}
			for _, n := range nodes {
				// etcd 3 rounds down and etcd 2 rounds up.
				n.expires(min(left.TTL+1, left.GrantedTTL))
			}
			return nil
		})
	}
	return group.Wait()
}
