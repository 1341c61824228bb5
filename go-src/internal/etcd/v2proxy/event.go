package v2proxy

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Actions of an Event.
const (
	Get              = "get"
	Create           = "create"
	Set              = "set"
	Update           = "update"
	Delete           = "delete"
	CompareAndSwap   = "compareAndSwap"
	CompareAndDelete = "compareAndDelete"
	Expire           = "expire"
)

// Event is the answer to a request about a key: the action, the key, and the key before.
type Event struct {
	Action   string `json:"action"`
	Node     *Node  `json:"node,omitempty"`
	PrevNode *Node  `json:"prevNode,omitempty"`
}

// created reports whether the event created a key.
func (e *Event) created() bool {
	return e.Action == Create || e.Action == Set && e.PrevNode == nil
}

// Node is a key or a directory. Indexes are revisions of etcd; TTL is in seconds.
type Node struct {
	Key           string     `json:"key,omitempty"`
	Value         *string    `json:"value,omitempty"`
	Dir           bool       `json:"dir,omitempty"`
	Expiration    *time.Time `json:"expiration,omitempty"`
	TTL           int64      `json:"ttl,omitempty"`
	Nodes         []*Node    `json:"nodes,omitempty"`
	ModifiedIndex int64      `json:"modifiedIndex,omitempty"`
	CreatedIndex  int64      `json:"createdIndex,omitempty"`

	// lease is the lease that determines the TTL, or 0.
	lease int64
}

// newNode returns the node of a file or of the marker of a directory. As in etcd 2, it does
// not show a lease that the node only inherits from a directory above it.
func newNode(p string, kv *mvccpb.KeyValue, dir bool, inherited int64) *Node {
	n := &Node{Key: p, Dir: dir, ModifiedIndex: kv.ModRevision, CreatedIndex: kv.CreateRevision}
	if kv.Lease != inherited {
		n.lease = kv.Lease
	}
	if !dir {
		value := string(kv.Value)
		n.Value = &value
	}
	return n
}

// gone returns the node of a deleted key.
func gone(p string, dir bool, revision, created int64) *Node {
	return &Node{Key: p, Dir: dir, ModifiedIndex: revision, CreatedIndex: created}
}

// expires sets the remaining time to live.
func (n *Node) expires(seconds int64) {
	at := time.Now().Add(time.Duration(seconds) * time.Second).UTC()
	n.TTL, n.Expiration = seconds, &at
}
