// Package apitest is a cluster in memory, for tests of the server, the client and the command.
package apitest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/schema"
)

// Cluster is a cluster whose units reach their desired states at once. Its zero value is ready for
// use.
type Cluster struct {
	// Systemd returns the state of a launched unit; nil for active and running.
	Systemd func(u schema.Unit) (active, sub string)
	// Problem returns why systemd refuses a unit, "" if it does not; nil refuses none.
	Problem func(u schema.Unit) string
	// Finish lets units with RunOnce end as soon as they are started.
	Finish bool
	// Fails is the error of all methods, if it is not nil.
	Fails error

	mu       sync.Mutex
	machines map[string]schema.Machine
	units    map[string]schema.Unit
	by       []string
	ran      int
}

var _ api.Cluster = (*Cluster)(nil)

// Join adds a machine.
func (c *Cluster) Join(m schema.Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.machines == nil {
		c.machines = map[string]schema.Machine{}
	}
	c.machines[m.ID] = m
}

// By returns the callers of all changes, in order.
func (c *Cluster) By() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.by)
}

// Ran returns how many times units with RunOnce have run.
func (c *Cluster) Ran() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ran
}

// begin locks the cluster for a call, or returns the error Fails. by is the caller of a change.
func (c *Cluster) begin(by string) (end func(), err error) {
	c.mu.Lock()
	if c.Fails != nil {
		c.mu.Unlock()
		return nil, c.Fails
	}
	if by != "" {
		c.by = append(c.by, by)
	}
	return c.mu.Unlock, nil
}

func sorted[T any](m map[string]T) []T {
	var all []T
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[key])
	}
	return all
}

// Machines implements [api.Cluster].
func (c *Cluster) Machines(context.Context) ([]schema.Machine, error) {
	end, err := c.begin("")
	if err != nil {
		return nil, err
	}
	defer end()
	return sorted(c.machines), nil
}

// SetMetadata implements [api.Cluster].
func (c *Cluster) SetMetadata(_ context.Context, by string, changes []schema.MetadataChange) error {
	end, err := c.begin(by)
	if err != nil {
		return err
	}
	defer end()
	machines := maps.Clone(c.machines)
	for _, change := range changes {
		m, ok := machines[change.MachineID]
		if !ok {
			return fmt.Errorf("machine %s: %w", change.MachineID, schema.ErrNotFound)
		}
		if m.Metadata = maps.Clone(m.Metadata); m.Metadata == nil {
			m.Metadata = map[string]string{}
		}
		if m.Metadata[change.Key] = change.Value; change.Value == "" {
			delete(m.Metadata, change.Key)
		}
		machines[m.ID] = m
	}
	c.machines = machines
	return nil
}

// SetDrain implements [api.Cluster].
func (c *Cluster) SetDrain(_ context.Context, by, machineID string, drain *schema.DrainRequest) error {
	end, err := c.begin(by)
	if err != nil {
		return err
	}
	defer end()
	m, ok := c.machines[machineID]
	if !ok {
		return fmt.Errorf("machine %s: %w", machineID, schema.ErrNotFound)
	}
	if m.Drain = nil; drain != nil {
		m.Drain = &schema.Drain{Reason: drain.Reason, By: by, Since: time.Unix(1_000_000_000, 0).UTC()}
		if drain.UntilRestart {
			m.Drain.Boot = "boot"
		}
	}
	c.machines[machineID] = m
	for _, u := range sorted(c.units) {
		if drain != nil && u.MachineID == machineID && requirements(u).MachineID == "" {
			c.place(u)
		}
	}
	return nil
}

// Rebalance implements [api.Cluster]. It places the units without a machine.
func (c *Cluster) Rebalance(_ context.Context, by string) (int, error) {
	end, err := c.begin(by)
	if err != nil {
		return 0, err
	}
	defer end()
	moved := 0
	for _, u := range sorted(c.units) {
		if u.DesiredState != schema.Inactive && u.MachineID == "" {
			if c.place(u); c.units[u.Name].MachineID != "" {
				moved++
			}
		}
	}
	return moved, nil
}
