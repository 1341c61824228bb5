// Package store keeps fleet's state in etcd. Below the prefix there are
//
//	cluster/unit/NAME        the unit file, as it was submitted
//	cluster/job/NAME         the desired state, and the machine that has the unit
//	cluster/agent/ID/NAME    the assignment of the unit to machine ID
//	global/NAME              the assignment to every machine with fitting metadata
//	cluster/machine/ID       a machine in the cluster, on the machine's lease
//	cluster/metadata/ID      metadata that the API has given to the machine
//	cluster/drain/ID         the drain of the machine
//	cluster/rebalance        a request to move units to machines with few
//	leader                   the ID of the leader, on its lease
//	state/NAME/ID            the state of the unit on machine ID, on the machine's lease
//
// Values are JSON. A change to any record of a unit compares the revision of the unit's job in
// the same transaction, so that two changes never mix.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
)

// Etcd is the part of an etcd client that fleet uses.
type Etcd interface {
	clientv3.KV
	clientv3.Watcher
	clientv3.Lease
}

// Store has the records of one fleet cluster.
type Store struct {
	Etcd
	prefix string
}

// DefaultPrefix is the default of etcd_key_prefix, as in upstream.
const DefaultPrefix = "/_coreos.com/fleet/"

// New returns the store below a prefix.
func New(etcd Etcd, prefix string) *Store {
	return &Store{etcd, strings.TrimSuffix(prefix, "/") + "/v3/"}
}

// Unit is a unit file.
type Unit struct {
	Options   []schema.UnitOption `json:"options"`
	Submitted time.Time           `json:"submitted"`
	By        string              `json:"by,omitempty"`
}

// Job is the desired state of a unit and its machine.
type Job struct {
	// Target is the desired state.
	Target string `json:"target"`
	// Hash is the hash of the unit file.
	Hash   string `json:"hash"`
	Global bool   `json:"global,omitempty"`
	// Machine is the machine that has the unit; "" if the unit waits for one.
	Machine string `json:"machine,omitempty"`
	// Finished is "success" if a unit with RunOnce has ended without a failure.
	Finished string `json:"finished,omitempty"`
}

// Assignment tells a machine what to do with a unit. The target schema.Inactive tells it to
// stop and remove the unit, and then to delete the assignment.
type Assignment struct {
	Hash   string `json:"hash"`
	Target string `json:"target"`
}

// Global tells every machine whose metadata fit what to do with a unit.
type Global struct {
	Assignment
	Metadata  map[string][]string `json:"metadata,omitempty"`
	Conflicts []string            `json:"conflicts,omitempty"`
}

// State is the state that a machine reports for a unit.
type State struct {
	Hash   string `json:"hash"`
	Load   string `json:"load"`
	Active string `json:"active"`
	Sub    string `json:"sub"`
	// Current is how far the machine has taken the unit: loaded or launched.
	Current string `json:"current"`
	// Waiting is another unit, for which this one waits before it is started.
	Waiting string `json:"waiting,omitempty"`
	// Problem is why systemd refuses the unit or has not started it.
	Problem string `json:"problem,omitempty"`
}

// Machine is the record of a machine.
type Machine struct {
	PublicIP string            `json:"publicIP,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Version  string            `json:"version,omitempty"`
	// CPUs and Memory (bytes) are what units can reserve. MaxUnits is how many units the
	// machine takes, 0 for any number.
	CPUs     float64 `json:"cpus,omitempty"`
	Memory   int64   `json:"memory,omitempty"`
	MaxUnits int     `json:"maxUnits,omitempty"`
	// Boot identifies the boot of the machine.
	Boot string `json:"boot,omitempty"`
}

// Drain is the drain of a machine.
type Drain = schema.Drain

// Cluster is the prefix of all records that the leader needs.
func (s *Store) Cluster() string { return s.prefix + "cluster/" }

// States is the prefix of the states of all units, UnitStates that of one unit. The methods
// below return keys, and prefixes that end with the separator.
func (s *Store) States() string                    { return s.prefix + "state/" }
func (s *Store) UnitStates(name string) string     { return s.States() + name + "/" }
func (s *Store) State(name, id string) string      { return s.UnitStates(name) + id }
func (s *Store) Unit(name string) string           { return s.Cluster() + "unit/" + name }
func (s *Store) Job(name string) string            { return s.Cluster() + "job/" + name }
func (s *Store) Agent(id string) string            { return s.Cluster() + "agent/" + id + "/" }
func (s *Store) Assignment(id, name string) string { return s.Agent(id) + name }
func (s *Store) Globals() string                   { return s.prefix + "global/" }
func (s *Store) Global(name string) string         { return s.Globals() + name }
func (s *Store) Machine(id string) string          { return s.Cluster() + "machine/" + id }
func (s *Store) Metadata(id string) string         { return s.Cluster() + "metadata/" + id }
func (s *Store) Drain(id string) string            { return s.Cluster() + "drain/" + id }
func (s *Store) Rebalance() string                 { return s.Cluster() + "rebalance" }
func (s *Store) Leader() string                    { return s.prefix + "leader" }

// Encode writes a record.
func Encode(record any) string {
	data, err := json.Marshal(record)
	if err != nil { // records have only fields that can be encoded
		panic(err)
	}
	return string(data)
}

// Fetch reads the record of a key, with its revision. The revision is 0 if etcd does not have
// the key.
func Fetch[T any](ctx context.Context, s *Store, key string) (record T, revision int64, err error) {
	answer, err := s.Get(ctx, key)
	if err != nil || len(answer.Kvs) == 0 {
		return record, 0, err
	}
	record, err = Decode[T](answer.Kvs[0].Value)
	return record, answer.Kvs[0].ModRevision, err
}

// Decode reads a record.
func Decode[T any](data []byte) (T, error) {
	var record T
	if err := json.Unmarshal(data, &record); err != nil {
		return record, fmt.Errorf("record in etcd: %w", err)
	}
	return record, nil
}
