// Package schema has the objects of fleet's HTTP API, version 1, and its errors: the words
// that the store, the registry, the server and the client share
// (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/api-v1.md).
package schema

import "time"

// Version is the version of upstream's fleet with which the API, the daemon and the command
// are compatible.
const Version = "1.0.0"

// Prefix is the path below which the API is served.
const Prefix = "/fleet/v1"

// Unit is a unit file with the state in which it is wanted and its current state.
type Unit struct {
	Name         string       `json:"name,omitempty"`
	Options      []UnitOption `json:"options,omitempty"`
	DesiredState string       `json:"desiredState,omitempty"`
	CurrentState string       `json:"currentState,omitempty"`
	// MachineID is the machine to which the leader assigned the unit.
	MachineID string `json:"machineID,omitempty"`
	// Finished is "success" for a unit with RunOnce that ended without a failure. No
	// machine has the unit then. Upstream's API does not have this field.
	Finished string `json:"finished,omitempty"`
	// Problem is that of the unit's state on its machine. Upstream's API does not have this field.
	Problem string `json:"problem,omitempty"`
}

// The states of a unit, both desired and current.
const (
	Inactive = "inactive" // the cluster has the file, no machine has the unit
	Loaded   = "loaded"   // a machine's systemd has loaded the unit
	Launched = "launched" // the machine has started the unit
)

// UnitOption is one line of a unit file.
type UnitOption struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	Value   string `json:"value"`
}

// UnitState is the state that a machine's systemd reports for a unit.
type UnitState struct {
	Name string `json:"name,omitempty"`
	// Hash is the SHA-1 of the unit file, 40 hexadecimal digits.
	Hash               string `json:"hash,omitempty"`
	MachineID          string `json:"machineID,omitempty"`
	SystemdLoadState   string `json:"systemdLoadState,omitempty"`
	SystemdActiveState string `json:"systemdActiveState,omitempty"`
	SystemdSubState    string `json:"systemdSubState,omitempty"`
	// Problem is why systemd refuses the unit or has not started it. Upstream's API does not have
	// this field.
	Problem string `json:"problem,omitempty"`
}

// Machine is a machine that has joined the cluster. Upstream's API has only the first three
// fields.
type Machine struct {
	ID        string            `json:"id,omitempty"`
	PrimaryIP string            `json:"primaryIP,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`

	Version string `json:"version,omitempty"`
	// CPUs (processors) and Memory (bytes) are what units can reserve.
	CPUs   float64 `json:"cpus,omitempty"`
	Memory int64   `json:"memory,omitempty"`
	// Drain is set while the machine is drained.
	Drain *Drain `json:"drain,omitempty"`
	// Units is the number of units that the leader assigned to the machine.
	Units int `json:"units,omitempty"`
}

// Drain says that a machine keeps only units that cannot run elsewhere, and gets no new ones.
type Drain struct {
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since"`
	// Boot is the boot ID of the machine when the drain began, if the drain ends with the
	// next restart of the machine; "" if the drain lasts.
	Boot string `json:"boot,omitempty"`
}

// DrainRequest asks for a drain.
type DrainRequest struct {
	Reason string `json:"reason,omitempty"`
	// UntilRestart ends the drain when the machine has restarted.
	UntilRestart bool `json:"untilRestart,omitempty"`
}

// Reasons explain why a unit is on its machine, or on none.
type Reasons struct {
	Name      string `json:"name"`
	MachineID string `json:"machineID,omitempty"`
	// Summary is one sentence.
	Summary string `json:"summary"`
	// Machines has an entry for each machine, sorted by ID.
	Machines []MachineReason `json:"machines,omitempty"`
}

// MachineReason is the reason why a machine cannot run a unit; it is empty if it can.
type MachineReason struct {
	MachineID string `json:"machineID"`
	Reason    string `json:"reason,omitempty"`
}

// Rebalanced is the number of units that a rebalance moves.
type Rebalanced struct {
	Moved int `json:"moved"`
}

// MachinePage is a page of the list of machines. NextPageToken asks for the next page; it is
// empty on the last one.
type MachinePage struct {
	Machines      []Machine `json:"machines,omitempty"`
	NextPageToken string    `json:"nextPageToken,omitempty"`
}

// UnitPage is a page of the list of units.
type UnitPage struct {
	Units         []Unit `json:"units,omitempty"`
	NextPageToken string `json:"nextPageToken,omitempty"`
}

// UnitStatePage is a page of the list of states.
type UnitStatePage struct {
	States        []UnitState `json:"states,omitempty"`
	NextPageToken string      `json:"nextPageToken,omitempty"`
}
