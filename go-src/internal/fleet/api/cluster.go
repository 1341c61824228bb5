// Package api is the server of fleet's HTTP API, version 1, in front of a cluster
// (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/api-v1.md).
package api

import (
	"context"

	"coreos/internal/fleet/schema"
)

// Cluster is what the server reads and changes. Lists are sorted by name, states by name and
// machine; the caller must not change them. by names who asks for a change, for the log.
// Methods return errors that wrap those of package schema.
type Cluster interface {
	Machines(context.Context) ([]schema.Machine, error)
	Units(context.Context) ([]schema.Unit, error)
	// Unit returns schema.ErrNotFound for an unknown unit.
	Unit(ctx context.Context, name string) (schema.Unit, error)
	States(context.Context) ([]schema.UnitState, error)

	// Create submits a unit, or replaces the file of a known unit, and sets the desired
	// state (inactive if it is empty).
	Create(ctx context.Context, by string, unit schema.Unit) error
	// SetDesired sets the desired state of a unit; schema.ErrNotFound.
	SetDesired(ctx context.Context, by, name, state string) error
	// Destroy removes a unit and all its records; schema.ErrNotFound.
	Destroy(ctx context.Context, by, name string) error

	// SetMetadata makes all of the changes or none; schema.ErrNotFound for an unknown
	// machine.
	SetMetadata(ctx context.Context, by string, changes []schema.MetadataChange) error
	// SetDrain begins a drain, or ends it if drain is nil; schema.ErrNotFound. A drain
	// that has begun stays as it is.
	SetDrain(ctx context.Context, by, machineID string, drain *schema.DrainRequest) error
	// Rebalance moves units from full machines to empty ones and returns how many.
	Rebalance(ctx context.Context, by string) (int, error)
	// Why explains where a unit is; schema.ErrNotFound.
	Why(ctx context.Context, name string) (schema.Reasons, error)
}
