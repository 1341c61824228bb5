package v2proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Keys of the proxy itself, which no v2 path stands for.
const (
	recordKey   = "\x00v2/last"
	orderPrefix = "\x00v2/order/"
)

// orders is how many keys serialise in-order creations. Directories share them.
const orders = 64

// orderKey returns the key that every in-order creation in a directory writes.
func orderKey(dir string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	return fmt.Sprintf("%s%02d", orderPrefix, h.Sum32()%orders)
}

// record describes, in etcd 2's terms, the write of the revision at which it was written.
type record struct {
	Action string `json:"action"`
	Key    string `json:"key"`
	Dir    bool   `json:"dir,omitempty"`
	// Refresh says that only the TTL changed, which watches do not report.
	Refresh bool `json:"refresh,omitempty"`
	// Created and Modified are the indexes of a deleted directory.
	Created  int64 `json:"created,omitempty"`
	Modified int64 `json:"modified,omitempty"`
}

func (r record) encode() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, numbers and booleans can be encoded
	}
	return string(text)
}

// decodeRecord requires an action and a key that a path stands for.
func decodeRecord(text []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("record %s: %w", recordKey[1:], err)
	}
	if _, _, ok := pathOf(r.Key); !ok || r.Action == "" {
		return nil, fmt.Errorf("record %s: the action or the key is missing: %q", recordKey[1:], text)
	}
	return &r, nil
}

// records reads records and caches the latest, since many waits read the same one.
type records struct {
	kv     clientv3.KV
	mu     sync.Mutex
	known  map[int64]*record
	oldest []int64
}

const recordsKept = 256

// at returns the record of a revision, or nil if a proxy did not write the revision or it
// is compacted.
func (r *records) at(ctx context.Context, revision int64) (*record, error) {
	r.mu.Lock()
	known, ok := r.known[revision]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	got, err := r.kv.Get(ctx, recordKey, clientv3.WithRev(revision))
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found *record
	if len(got.Kvs) == 1 && got.Kvs[0].ModRevision == revision {
		if found, err = decodeRecord(got.Kvs[0].Value); err != nil {
			return nil, err
		}
	}
	r.keep(revision, found)
	return found, nil
}

func (r *records) keep(revision int64, found *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[revision]; ok {
		return
	}
	if len(r.oldest) >= recordsKept {
		delete(r.known, r.oldest[0])
		r.oldest = r.oldest[1:]
	}
	r.known[revision] = found
	r.oldest = append(r.oldest, revision)
}
