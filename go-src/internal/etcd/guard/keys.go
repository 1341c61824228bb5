package guard

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// keyRange is the range of keys from begin to end, without end. A nil end is the end of all keys.
type keyRange struct{ begin, end []byte }

// rangeOf returns the range that a request names, as etcd reads key and range_end
// (https://etcd.io/docs/v3.7/learning/api/#key-ranges).
func rangeOf(key, rangeEnd []byte) keyRange {
	switch {
	case len(rangeEnd) == 0:
		return keyRange{key, append(bytes.Clone(key), 0)}
	case len(rangeEnd) == 1 && rangeEnd[0] == 0:
		return keyRange{key, nil}
	}
	return keyRange{key, rangeEnd}
}

// below returns the range of the keys with a prefix.
func below(prefix string) keyRange {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return keyRange{[]byte(prefix), end[:i+1]}
		}
	}
	return keyRange{[]byte(prefix), nil}
}

// overlaps reports whether two ranges have a key in common. Keys are bytes, so that every range that
// is not empty has its begin as a key.
func (r keyRange) overlaps(s keyRange) bool {
	return !r.empty() && !s.empty() && r.beginsBefore(s.end) && s.beginsBefore(r.end)
}

func (r keyRange) empty() bool { return !r.beginsBefore(r.end) }

func (r keyRange) beginsBefore(end []byte) bool { return end == nil || bytes.Compare(r.begin, end) < 0 }

// changed calls yield with each range that operations of a transaction may change, and reports whether
// one of the calls returned true.
func changed(operations []*pb.RequestOp, yield func(keyRange) bool) bool {
	for _, operation := range operations {
		var found bool
		switch o := operation.GetRequest().(type) {
		case *pb.RequestOp_RequestPut:
			found = yield(rangeOf(o.RequestPut.GetKey(), nil))
		case *pb.RequestOp_RequestDeleteRange:
			found = yield(rangeOf(o.RequestDeleteRange.GetKey(), o.RequestDeleteRange.GetRangeEnd()))
		case *pb.RequestOp_RequestTxn:
			found = changed(o.RequestTxn.GetSuccess(), yield) || changed(o.RequestTxn.GetFailure(), yield)
		}
		if found {
			return true
		}
	}
	return false
}
