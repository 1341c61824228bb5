package fleettest

import (
	"bytes"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/google/btree"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd is an etcd in memory, for tests in simulated time. It has what fleet uses:
// transactions in transactions, ranges, watches from a revision, and leases.
type Etcd struct {
	mu       sync.Mutex
	revision int64
	keys     *btree.BTreeG[*mvccpb.KeyValue]
	history  []*clientv3.Event
	advanced chan struct{} // closed when the revision advances
	leases   map[clientv3.LeaseID]*lease
	last     clientv3.LeaseID
	// lost is while no member can lead.
	lost bool
}

type lease struct {
	ttl   time.Duration
	until time.Time
	timer *time.Timer
	keys  map[string]bool
}

// NewEtcd returns an empty one.
func NewEtcd() *Etcd {
	return &Etcd{
		revision: 1, advanced: make(chan struct{}), leases: map[clientv3.LeaseID]*lease{},
		keys: btree.NewG(16, func(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Key, b.Key) < 0 }),
	}
}

// Lose has the members find no leader, or one again: it gives all leases their time anew.
func (e *Etcd) Lose(lost bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lost && !lost {
		for id := range e.leases {
			e.renew(id)
		}
	}
	e.lost = lost
}

// write runs a function at the next revision, which counts if it changed something.
func (e *Etcd) write(change func(revision int64) (changed bool)) {
	if change(e.revision + 1) {
		e.revision++
		close(e.advanced)
		e.advanced = make(chan struct{})
	}
}

func (e *Etcd) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: e.revision} }

// each calls a function for the keys of an operation, in order.
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

// put writes a key at a revision. The lease of an operation has no accessor.
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

// is evaluates a comparison.
func (e *Etcd) is(cmp clientv3.Cmp) bool {
	compare := cmp.GetCompare()
	kv, ok := e.keys.Get(&mvccpb.KeyValue{Key: compare.Key})
	if !ok {
		kv = &mvccpb.KeyValue{}
	}
	var is, want int64
	switch u := compare.TargetUnion.(type) {
	case *pb.Compare_ModRevision:
		is, want = kv.ModRevision, u.ModRevision
	case *pb.Compare_CreateRevision:
		is, want = kv.CreateRevision, u.CreateRevision
	case *pb.Compare_Lease:
		is, want = kv.Lease, u.Lease
	default:
		panic("a comparison that is not simulated")
	}
	switch compare.Result {
	case pb.Compare_EQUAL:
		return is == want
	case pb.Compare_GREATER:
		return is > want
	}
	panic("a comparison that is not simulated")
}

// errTwice is etcd's, of a transaction that writes a key twice.
var errTwice = errors.New("duplicate key given in txn request")

func (e *Etcd) txn(is []clientv3.Cmp, then, or []clientv3.Op) (answer *pb.TxnResponse, err error) {
	if err := writesOnce(then, map[string]bool{}); err != nil {
		return nil, err
	}
	e.write(func(revision int64) bool {
		before := len(e.history)
		answer, err = e.apply(is, then, or, revision)
		return len(e.history) > before
	})
	if answer != nil {
		answer.Header = e.header()
	}
	return answer, err
}

func writesOnce(ops []clientv3.Op, seen map[string]bool) error {
	for _, op := range ops {
		if op.IsTxn() {
			_, then, _ := op.Txn()
			if err := writesOnce(then, seen); err != nil {
				return err
			}
		}
		if op.IsPut() {
			if seen[string(op.KeyBytes())] {
				return errTwice
			}
			seen[string(op.KeyBytes())] = true
		}
	}
	return nil
}

func (e *Etcd) apply(is []clientv3.Cmp, then, or []clientv3.Op, revision int64) (*pb.TxnResponse, error) {
	answer := &pb.TxnResponse{Succeeded: true, Header: e.header()}
	for _, cmp := range is {
		answer.Succeeded = answer.Succeeded && e.is(cmp)
	}
	ops := then
	if !answer.Succeeded {
		ops = or
	}
	for _, op := range ops {
		response := &pb.ResponseOp{}
		switch {
		case op.IsGet():
			response.Response = &pb.ResponseOp_ResponseRange{ResponseRange: e.get(op)}
		case op.IsPut():
			if err := e.put(op, revision); err != nil {
				return nil, err
			}
			response.Response = &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}
		case op.IsDelete():
			response.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: &pb.DeleteRangeResponse{Deleted: e.delete(op, revision)}}
		case op.IsTxn():
			is, then, or := op.Txn()
			inner, err := e.apply(is, then, or, revision)
			if err != nil {
				return nil, err
			}
			response.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: inner}
		}
		answer.Responses = append(answer.Responses, response)
	}
	return answer, nil
}

// grant makes a lease, which ends by itself.
func (e *Etcd) grant(seconds int64) clientv3.LeaseID {
	e.last++
	id, ttl := e.last, time.Duration(seconds)*time.Second
	e.leases[id] = &lease{ttl: ttl, keys: map[string]bool{}, until: time.Now().Add(ttl), timer: time.AfterFunc(ttl, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if l := e.leases[id]; l != nil && !e.lost && !time.Now().Before(l.until) {
			e.revoke(id)
		}
	})}
	return id
}

func (e *Etcd) renew(id clientv3.LeaseID) (time.Duration, bool) {
	l := e.leases[id]
	if l == nil {
		return 0, false
	}
	l.until = time.Now().Add(l.ttl)
	l.timer.Reset(l.ttl)
	return l.ttl, true
}

func (e *Etcd) revoke(id clientv3.LeaseID) bool {
	l := e.leases[id]
	if l == nil {
		return false
	}
	l.timer.Stop()
	delete(e.leases, id)
	e.write(func(revision int64) bool {
		n := int64(0)
		for key := range l.keys {
			n += e.delete(clientv3.OpDelete(key), revision)
		}
		return n > 0
	})
	return true
}
