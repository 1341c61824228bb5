package v2proxy

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// What an Event says was done.
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

// Event is an answer about a key: what was done, what the key is now and what it was.
type Event struct {
	Action   string `json:"action"`
	Node     *Node  `json:"node,omitempty"`
	PrevNode *Node  `json:"prevNode,omitempty"`
}

// created says whether the event made a key where none was.
func (e *Event) created() bool {
	return e.Action == Create || e.Action == Set && e.PrevNode == nil
}

// Node is a key or a directory. Indexes are etcd's revisions; TTL is in seconds.
type Node struct {
	Key           string     `json:"key,omitempty"`
	Value         *string    `json:"value,omitempty"`
	Dir           bool       `json:"dir,omitempty"`
	Expiration    *time.Time `json:"expiration,omitempty"`
	TTL           int64      `json:"ttl,omitempty"`
	Nodes         []*Node    `json:"nodes,omitempty"`
	ModifiedIndex int64      `json:"modifiedIndex,omitempty"`
	CreatedIndex  int64      `json:"createdIndex,omitempty"`

	// lease is what the TTL is asked of, or 0.
	lease int64
}

// newNode makes a node of a file or of a directory's marker. A lease that the node has
// only because a directory above it has it is not shown, as in etcd 2.
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

// gone makes the node that tells of a deletion.
func gone(p string, dir bool, revision, created int64) *Node {
	return &Node{Key: p, Dir: dir, ModifiedIndex: revision, CreatedIndex: created}
}

// expires sets what is left to live.
func (n *Node) expires(seconds int64) {
	at := time.Now().Add(time.Duration(seconds) * time.Second).UTC()
	n.TTL, n.Expiration = seconds, &at
}
