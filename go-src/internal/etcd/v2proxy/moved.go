package v2proxy

import (
	"context"
	"encoding/json"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A new TTL of a directory is a new lease, to which the keys in the directory are moved. This writes them,
// so that they get a new revision, although their values stay. In etcd 2 their indexes stay, too. So the
// move leaves a record of which index each key had, and a comparison with that index succeeds.

const movedPrefix = "\x00v2/moved"

// movedKey is the key of the record of the last move of a directory.
func movedKey(dir string) string { return movedPrefix + marker(dir) }

// moved is such a record: for each path of a file, the revision since which it has its value. It holds for
// files that have the revision of the record.
type moved map[string]int64

// movedOps returns the operations that read the records of the directories above a path.
func movedOps(p string) []clientv3.Op {
	var ops []clientv3.Op
	for _, dir := range ancestors(p) {
		ops = append(ops, clientv3.OpGet(movedKey(dir)))
	}
	return ops
}

// moves are records by their revisions. A move writes one record, and is the only change of its revision.
type moves map[int64]moved

// movesIn reads the records in responses to movedOps. A record that cannot be read counts as missing.
func movesIn(responses []*etcdserverpb.ResponseOp) moves {
	all := moves{}
	for _, response := range responses {
		for _, record := range response.GetResponseRange().Kvs {
			var m moved
			if json.Unmarshal(record.Value, &m) == nil {
				all[record.ModRevision] = m
			}
		}
	}
	return all
}

// since returns the revision since which a file has its value.
func (all moves) since(p string, kv *mvccpb.KeyValue) int64 {
	if index, is := all[kv.ModRevision][p]; is {
		return index
	}
	return kv.ModRevision
}

// hasIndex reports whether a file has had its value since an index, at which nothing but the TTL of a
// directory above it was changed.
func (w *writer) hasIndex(ctx context.Context, st *state, index int64) (bool, error) {
	if index > st.file.ModRevision || len(ancestors(st.path)) == 0 {
		return false, nil
	}
	got, err := w.readTxn(ctx, movedOps(st.path)...)
	if err != nil {
		return false, err
	}
	return movesIn(got.Responses).since(st.path, st.file) <= index, nil
}
