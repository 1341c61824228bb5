package api

import (
	"context"
	"errors"
)

// Cluster is what the server stands in front of. Lists come sorted by name, states by
// name and machine, and are not to be changed by who gets them. Methods that change
// something get who asks for it, for the log.
type Cluster interface {
	Machines(context.Context) ([]Machine, error)
	Units(context.Context) ([]Unit, error)
	// Unit returns ErrNotFound of a unit that is not there.
	Unit(ctx context.Context, name string) (Unit, error)
	States(context.Context) ([]UnitState, error)

	// Create submits a unit, or replaces the file of one that is there, and has it wanted
	// in DesiredState (inactive, if that is empty).
	Create(ctx context.Context, by string, unit Unit) error
	// SetDesired has a unit wanted in another state; ErrNotFound.
	SetDesired(ctx context.Context, by, name, state string) error
	// Destroy removes a unit and all that it left; ErrNotFound.
	Destroy(ctx context.Context, by, name string) error

	// SetMetadata makes all of the changes or none; ErrNotFound for a machine that is not there.
	SetMetadata(ctx context.Context, by string, changes []MetadataChange) error
	// SetDrain begins a drain, or ends it if drain is nil; ErrNotFound. One that has begun
	// stays as it is.
	SetDrain(ctx context.Context, by, machineID string, drain *DrainRequest) error
	// Rebalance moves units from full machines to empty ones and says how many.
	Rebalance(ctx context.Context, by string) (int, error)
	// Why explains where a unit is; ErrNotFound.
	Why(ctx context.Context, name string) (Reasons, error)
}

// What a Cluster's methods return, wrapped, where the server answers with other codes
// than 500.
var (
	ErrNotFound    = errors.New("not found")           // 404
	ErrConflict    = errors.New("conflict")            // 409
	ErrInvalid     = errors.New("invalid")             // 400
	ErrUnavailable = errors.New("etcd cannot be used") // 503
)
