package client

import (
	"context"
	"net/http"
	"net/url"

	"coreos/internal/fleet/schema"
)

// Machines returns all machines.
func (c *Client) Machines(ctx context.Context) ([]schema.Machine, error) {
	return list(ctx, c, "machines", func(p schema.MachinePage) ([]schema.Machine, string) { return p.Machines, p.NextPageToken })
}

// Units returns all units.
func (c *Client) Units(ctx context.Context) ([]schema.Unit, error) {
	return list(ctx, c, "units", func(p schema.UnitPage) ([]schema.Unit, string) { return p.Units, p.NextPageToken })
}

// States returns the states that the machines' systemds report for all units.
func (c *Client) States(ctx context.Context) ([]schema.UnitState, error) {
	return c.states(ctx, "state")
}

// StatesOf returns the states of one unit, one for each of its machines.
func (c *Client) StatesOf(ctx context.Context, name string) ([]schema.UnitState, error) {
	return c.states(ctx, "state?unitName="+url.QueryEscape(name))
}

func (c *Client) states(ctx context.Context, path string) ([]schema.UnitState, error) {
	return list(ctx, c, path, func(p schema.UnitStatePage) ([]schema.UnitState, string) { return p.States, p.NextPageToken })
}

// Unit returns one unit; schema.ErrNotFound.
func (c *Client) Unit(ctx context.Context, name string) (u schema.Unit, err error) {
	return u, c.do(ctx, http.MethodGet, "units/"+url.PathEscape(name), nil, &u)
}

// Set creates a unit, replaces its file, or sets its desired state.
func (c *Client) Set(ctx context.Context, u schema.Unit) error {
	return c.do(ctx, http.MethodPut, "units/"+url.PathEscape(u.Name), u, nil)
}

// Destroy removes a unit; schema.ErrNotFound.
func (c *Client) Destroy(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "units/"+url.PathEscape(name), nil, nil)
}

// Why explains where a unit is; schema.ErrNotFound.
func (c *Client) Why(ctx context.Context, name string) (r schema.Reasons, err error) {
	return r, c.do(ctx, http.MethodGet, "units/"+url.PathEscape(name)+"/why", nil, &r)
}

// Drain begins the drain of a machine; schema.ErrNotFound.
func (c *Client) Drain(ctx context.Context, machineID string, drain schema.DrainRequest) error {
	return c.do(ctx, http.MethodPut, "machines/"+url.PathEscape(machineID)+"/drain", drain, nil)
}

// Undrain ends the drain of a machine; schema.ErrNotFound.
func (c *Client) Undrain(ctx context.Context, machineID string) error {
	return c.do(ctx, http.MethodDelete, "machines/"+url.PathEscape(machineID)+"/drain", nil, nil)
}

// SetMetadata makes all of the changes to machines' metadata or none.
func (c *Client) SetMetadata(ctx context.Context, changes []schema.MetadataChange) error {
	operations := make([]schema.Operation, len(changes))
	for i, change := range changes {
		operations[i] = change.Operation()
	}
	return c.do(ctx, http.MethodPatch, "machines", operations, nil)
}

// Rebalance moves units from full machines to empty ones and returns how many.
func (c *Client) Rebalance(ctx context.Context) (int, error) {
	var r schema.Rebalanced
	err := c.do(ctx, http.MethodPost, "rebalance", nil, &r)
	return r.Moved, err
}
