package fleettest

import (
	"bytes"
	"errors"
	"reflect"
	"sync"

	"github.com/google/btree"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd simulates an etcd in memory. It has what fleet uses: nested transactions, ranges, watches from
// a revision, and leases.
type Etcd struct {
	mu       sync.Mutex
	revision int64
	keys     *btree.BTreeG[*mvccpb.KeyValue]
	history  []*clientv3.Event
	advanced chan struct{} // closed when the revision advances
	leases   map[clientv3.LeaseID]*lease
	last     clientv3.LeaseID
	// lost is set while etcd has no leader.
	lost bool
	// alarm is the alarm that etcd has: ErrNoSpace or ErrCorrupt; nil for none.
	alarm error
}

// NewEtcd returns an empty etcd.
func NewEtcd() *Etcd {
	return &Etcd{
		revision: 1, advanced: make(chan struct{}), leases: map[clientv3.LeaseID]*lease{},
		keys: btree.NewG(16, func(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Key, b.Key) < 0 }),
	}
}

// Alarm raises an alarm, rpctypes.ErrNoSpace or rpctypes.ErrCorrupt; nil disarms it. etcd then refuses
// what writes, or everything, but renews leases: that needs no entry in its log.
func (e *Etcd) Alarm(alarm error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alarm = alarm
}

// refused returns the error of a request during an alarm. puts is set if it writes a value.
func (e *Etcd) refused(puts bool) error {
	if errors.Is(e.alarm, rpctypes.ErrNoSpace) && !puts {
		return nil
	}
	return e.alarm
}

// write runs a function with the next revision. The revision advances if the function has changed
// something.
func (e *Etcd) write(change func(revision int64) (changed bool)) {
	if change(e.revision + 1) {
		e.revision++
		close(e.advanced)
		e.advanced = make(chan struct{})
	}
}

func (e *Etcd) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: e.revision} }

// each calls a function for the keys in the range of an operation, in order.
func (e *Etcd) each(op clientv3.Op, visit func(*mvccpb.KeyValue) bool) {
	from, end := &mvccpb.KeyValue{Key: op.KeyBytes()}, op.RangeBytes()
	if end == nil {
		if kv, ok := e.keys.Get(from); ok {
			visit(kv)
		}
		return
	}
	e.keys.AscendRange(from, &mvccpb.KeyValue{Key: end}, visit)
}

func (e *Etcd) get(op clientv3.Op) *pb.RangeResponse {
	answer := &pb.RangeResponse{Header: e.header()}
	e.each(op, func(kv *mvccpb.KeyValue) bool {
		answer.Count++
		if op.IsCountOnly() || op.Limit() > 0 && int64(len(answer.Kvs)) == op.Limit() {
			answer.More = !op.IsCountOnly()
			return true
		}
		copied := mvccpb.KeyValue{Key: kv.Key, Value: kv.Value, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease}
		answer.Kvs = append(answer.Kvs, &copied)
		return true
	})
	return answer
}

// put writes a key. The lease is read by reflection, because an operation has no accessor for it.
func (e *Etcd) put(op clientv3.Op, revision int64) error {
	id := clientv3.LeaseID(reflect.ValueOf(op).FieldByName("leaseID").Int())
	if id != 0 {
		if e.leases[id] == nil {
			return rpctypes.ErrLeaseNotFound
		}
		e.leases[id].keys[string(op.KeyBytes())] = true
	}
	kv := &mvccpb.KeyValue{Key: op.KeyBytes(), Value: op.ValueBytes(), CreateRevision: revision, ModRevision: revision, Version: 1, Lease: int64(id)}
	if old, ok := e.keys.Get(kv); ok {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		if l := e.leases[clientv3.LeaseID(old.Lease)]; l != nil && old.Lease != kv.Lease {
			delete(l.keys, string(kv.Key))
		}
	}
	e.keys.ReplaceOrInsert(kv)
	e.history = append(e.history, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
	return nil
}

func (e *Etcd) delete(op clientv3.Op, revision int64) int64 {
	var gone []*mvccpb.KeyValue
	e.each(op, func(kv *mvccpb.KeyValue) bool { gone = append(gone, kv); return true })
	for _, kv := range gone {
		e.keys.Delete(kv)
		if l := e.leases[clientv3.LeaseID(kv.Lease)]; l != nil {
			delete(l.keys, string(kv.Key))
		}
		e.history = append(e.history, &clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: kv.Key, ModRevision: revision}})
	}
	return int64(len(gone))
}
