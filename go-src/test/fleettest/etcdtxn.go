package fleettest

import (
	"bytes"
	"errors"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// holds evaluates a comparison.
func (e *Etcd) holds(cmp clientv3.Cmp) bool {
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
	case *pb.Compare_Value:
		if !ok {
			return false // as etcd does
		}
		is = int64(bytes.Compare(kv.Value, u.Value))
	default:
		panic("a comparison that is not simulated")
	}
	switch compare.Result {
	case pb.Compare_EQUAL:
		return is == want
	case pb.Compare_NOT_EQUAL:
		return is != want
	case pb.Compare_GREATER:
		return is > want
	}
	panic("a comparison that is not simulated")
}

// errTwice is the error of etcd for a transaction that writes a key twice.
var errTwice = errors.New("duplicate key given in txn request")

func (e *Etcd) txn(is []clientv3.Cmp, then, or []clientv3.Op) (answer *pb.TxnResponse, err error) {
	if err := writesOnce(then, map[string]bool{}); err != nil {
		return nil, err
	}
	if err := e.refused(puts(then) || puts(or)); err != nil {
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

// puts reports whether one of the operations writes a value.
func puts(ops []clientv3.Op) bool {
	return slices.ContainsFunc(ops, func(op clientv3.Op) bool {
		if !op.IsTxn() {
			return op.IsPut()
		}
		_, then, or := op.Txn()
		return puts(then) || puts(or)
	})
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
		answer.Succeeded = answer.Succeeded && e.holds(cmp)
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
