// Package store keeps fleet's state in etcd. Below the prefix there are
//
//	cluster/unit/NAME        the unit file, as it was submitted
//	cluster/job/NAME         how it is wanted, and the machine that it was given to
//	cluster/agent/ID/NAME    what machine ID has to run; it reads nothing else but
//	global/NAME              what every machine has to run whose metadata fit
//	cluster/machine/ID       a machine that is there, for as long as its lease
//	cluster/metadata/ID      metadata given to it by the API
//	cluster/drain/ID         that it is being drained
//	cluster/rebalance        that somebody wants units moved to machines with few
//	leader                   the machine that places units, for as long as its lease
//	state/NAME/ID            what systemd says of the unit there, as long as that lease
//
// Values are JSON. A job's key is the one place where a unit's fate is decided: whoever
// changes anything about a unit compares the revision of its job in the same transaction.
package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
)

// Etcd is what is needed of a client of etcd.
type Etcd interface {
	clientv3.KV
	clientv3.Watcher
	clientv3.Lease
}

// Store is fleet's part of an etcd.
type Store struct {
	Etcd
	prefix string
}

// DefaultPrefix is upstream's etcd_key_prefix.
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

// Job is what is to become of a unit.
type Job struct {
	// Target is the state in which it is wanted.
	Target string `json:"target"`
	// Hash is that of the unit file.
	Hash   string `json:"hash"`
	Global bool   `json:"global,omitempty"`
	// Machine is the one it was given to; "" if it waits for one.
	Machine string `json:"machine,omitempty"`
	// Finished says how a unit that runs once ended.
	Finished string `json:"finished,omitempty"`
}

// Assignment is what a machine has to do with a unit. The target schema.Inactive asks it
// to stop the unit, forget it, and remove the assignment.
type Assignment struct {
	Hash   string `json:"hash"`
	Target string `json:"target"`
}

// Global is what every machine has to do with a unit whose metadata fit.
type Global struct {
	Assignment
	Metadata  map[string][]string `json:"metadata,omitempty"`
	Conflicts []string            `json:"conflicts,omitempty"`
}

// State is what a machine says of a unit.
type State struct {
	Hash   string `json:"hash"`
	Load   string `json:"load"`
	Active string `json:"active"`
	Sub    string `json:"sub"`
	// Current is how far the machine has taken the unit: loaded or launched.
	Current string `json:"current"`
	// Waiting is a unit that has to be started before it.
	Waiting string `json:"waiting,omitempty"`
}

// Machine is what a machine says of itself.
type Machine struct {
	PublicIP string            `json:"publicIP,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Version  string            `json:"version,omitempty"`
	// CPUs and Memory (bytes) are what units can reserve; MaxUnits how many of them it
	// takes, 0 for any number.
	CPUs     float64 `json:"cpus,omitempty"`
	Memory   int64   `json:"memory,omitempty"`
	MaxUnits int     `json:"maxUnits,omitempty"`
	// Boot tells one boot of the machine from the next.
	Boot string `json:"boot,omitempty"`
}

// Drain says that a machine has to give away its units.
type Drain = schema.Drain

// Prefixes of keys, and keys.

// Cluster is the prefix of all that the leader has to know.
func (s *Store) Cluster() string { return s.prefix + "cluster/" }

// States is the prefix of what machines say of units, UnitStates that for one of them.
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
	if err != nil { // records are plain data
		panic(err)
	}
	return string(data)
}

// Decode reads a record.
func Decode[T any](data []byte) (T, error) {
	var record T
	if err := json.Unmarshal(data, &record); err != nil {
		return record, fmt.Errorf("record in etcd: %w", err)
	}
	return record, nil
}
