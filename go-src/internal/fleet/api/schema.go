// Package api is fleet's HTTP API, version 1: its objects, the server in front of a
// cluster, and a client
// (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/api-v1.md).
package api

import "time"

// Unit is a unit file with the state in which it is wanted, and the one in which it is.
type Unit struct {
	Name         string       `json:"name,omitempty"`
	Options      []UnitOption `json:"options,omitempty"`
	DesiredState string       `json:"desiredState,omitempty"`
	CurrentState string       `json:"currentState,omitempty"`
	// MachineID is the machine to which the unit was given.
	MachineID string `json:"machineID,omitempty"`
	// Finished is "success" of a unit with RunOnce that ended without a failure: it is
	// on no machine then. It is not of upstream's API.
	Finished string `json:"finished,omitempty"`
}

// The states in which a unit can be wanted and be.
const (
	Inactive = "inactive" // known to the cluster
	Loaded   = "loaded"   // on a machine, known to its systemd
	Launched = "launched" // started there
)

// UnitOption is a line of a unit file.
type UnitOption struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	Value   string `json:"value"`
}

// UnitState is what a machine's systemd says of a unit.
type UnitState struct {
	Name string `json:"name,omitempty"`
	// Hash is that of the unit file, 40 hexadecimal digits.
	Hash               string `json:"hash,omitempty"`
	MachineID          string `json:"machineID,omitempty"`
	SystemdLoadState   string `json:"systemdLoadState,omitempty"`
	SystemdActiveState string `json:"systemdActiveState,omitempty"`
	SystemdSubState    string `json:"systemdSubState,omitempty"`
}

// Machine is one that has joined the cluster. Members beyond the first three are not of
// upstream's API.
type Machine struct {
	ID        string            `json:"id,omitempty"`
	PrimaryIP string            `json:"primaryIP,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`

	Version string `json:"version,omitempty"`
	// CPUs and Memory are what units can reserve, in processors and bytes.
	CPUs   float64 `json:"cpus,omitempty"`
	Memory int64   `json:"memory,omitempty"`
	// Drain is there while the machine gives its units away.
	Drain *Drain `json:"drain,omitempty"`
	// Units is the number of units that the cluster gave to it.
	Units int `json:"units,omitempty"`
}

// Drain says that a machine is to run nothing that can run elsewhere.
type Drain struct {
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since"`
	// Boot is the machine's with the end of which the drain ends, "" if it lasts.
	Boot string `json:"boot,omitempty"`
}

// DrainRequest asks for a drain.
type DrainRequest struct {
	Reason string `json:"reason,omitempty"`
	// UntilRestart has it end by itself when the machine has started anew.
	UntilRestart bool `json:"untilRestart,omitempty"`
}

// Reasons are why a unit is where it is, or nowhere.
type Reasons struct {
	Name      string `json:"name"`
	MachineID string `json:"machineID,omitempty"`
	// Summary is one sentence.
	Summary string `json:"summary"`
	// Machines says of every machine that cannot have the unit why, in order of their IDs.
	Machines []MachineReason `json:"machines,omitempty"`
}

// MachineReason is why a machine cannot have a unit, "" if it can.
type MachineReason struct {
	MachineID string `json:"machineID"`
	Reason    string `json:"reason,omitempty"`
}

// MetadataChange sets a key of a machine's metadata, or removes it if the value is "".
type MetadataChange struct{ MachineID, Key, Value string }
