package apitest

import (
	"context"
	"fmt"
	"strings"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// Units implements [api.Cluster].
func (c *Cluster) Units(context.Context) ([]schema.Unit, error) {
	end, err := c.begin("")
	if err != nil {
		return nil, err
	}
	defer end()
	return sorted(c.units), nil
}

// Unit implements [api.Cluster].
func (c *Cluster) Unit(_ context.Context, name string) (schema.Unit, error) {
	end, err := c.begin("")
	if err != nil {
		return schema.Unit{}, err
	}
	defer end()
	return c.unit(name)
}

func (c *Cluster) unit(name string) (schema.Unit, error) {
	u, ok := c.units[name]
	if !ok {
		return u, fmt.Errorf("unit %s: %w", name, schema.ErrNotFound)
	}
	return u, nil
}

// States implements [api.Cluster].
func (c *Cluster) States(context.Context) ([]schema.UnitState, error) {
	end, err := c.begin("")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []schema.UnitState
	for _, u := range sorted(c.units) {
		if requirements(u).Global && u.DesiredState != schema.Inactive {
			for _, m := range sorted(c.machines) {
				all = append(all, c.state(u, m.ID, u.DesiredState))
			}
		} else if u.MachineID != "" {
			all = append(all, c.state(u, u.MachineID, u.CurrentState))
		}
	}
	return all, nil
}

func (c *Cluster) state(u schema.Unit, machine, state string) schema.UnitState {
	active, sub := "inactive", "dead"
	if state == schema.Launched {
		active, sub = "active", "running"
		if c.Systemd != nil {
			active, sub = c.Systemd(u)
		}
	}
	if u.Problem != "" {
		active, sub = "failed", "refused"
	}
	return schema.UnitState{Problem: u.Problem, Name: u.Name, Hash: unitfile.Of(u).Hash().String(), MachineID: machine,
		SystemdLoadState: "loaded", SystemdActiveState: active, SystemdSubState: sub}
}

func requirements(u schema.Unit) unitfile.Requirements {
	r, err := unitfile.RequirementsOf(u)
	if err != nil {
		panic(err)
	}
	return r
}

// Create implements [api.Cluster].
func (c *Cluster) Create(_ context.Context, by string, u schema.Unit) error {
	end, err := c.begin(by)
	if err != nil {
		return err
	}
	defer end()
	if c.units == nil {
		c.units = map[string]schema.Unit{}
	}
	c.place(u)
	return nil
}

// SetDesired implements [api.Cluster].
func (c *Cluster) SetDesired(_ context.Context, by, name, state string) error {
	end, err := c.begin(by)
	if err != nil {
		return err
	}
	defer end()
	u, err := c.unit(name)
	if err != nil {
		return err
	}
	u.DesiredState = state
	c.place(u)
	return nil
}

// place assigns a unit to the first machine that fits.
func (c *Cluster) place(u schema.Unit) {
	again := c.units[u.Name].DesiredState != u.DesiredState
	u.MachineID, u.CurrentState, u.Problem = "", schema.Inactive, ""
	r := requirements(u)
	if again {
		u.Finished = ""
	}
	if r.Global {
		u.CurrentState = ""
	} else if r.RunOnce && c.Finish && u.DesiredState == schema.Launched {
		if again {
			c.ran++
		}
		u.Finished = "success"
	} else if u.DesiredState != schema.Inactive {
		for _, m := range sorted(c.machines) {
			if r.Fits(m.Metadata) && m.Drain == nil {
				u.MachineID, u.CurrentState = m.ID, u.DesiredState
				if c.Problem != nil && c.Problem(u) != "" {
					u.Problem, u.CurrentState = c.Problem(u), schema.Loaded
				}
				break
			}
		}
	}
	c.units[u.Name] = u
}

// Destroy implements [api.Cluster].
func (c *Cluster) Destroy(_ context.Context, by, name string) error {
	end, err := c.begin(by)
	if err != nil {
		return err
	}
	defer end()
	_, err = c.unit(name)
	delete(c.units, name)
	return err
}

// Why implements [api.Cluster].
func (c *Cluster) Why(_ context.Context, name string) (schema.Reasons, error) {
	end, err := c.begin("")
	if err != nil {
		return schema.Reasons{}, err
	}
	defer end()
	u, err := c.unit(name)
	if err != nil {
		return schema.Reasons{}, err
	}
	r := schema.Reasons{Name: name, MachineID: u.MachineID, Summary: "on machine " + u.MachineID}
	if u.MachineID != "" {
		return r, nil
	}
	r.Summary = "no machine fits"
	if u.DesiredState == schema.Inactive {
		r.Summary = "nobody wants it loaded"
	}
	for _, m := range sorted(c.machines) {
		reason := ""
		if needs := requirements(u); !needs.Fits(m.Metadata) {
			reason = "metadata do not match " + strings.TrimPrefix(fmt.Sprint(needs.Metadata), "map")
		} else if m.Drain != nil {
			reason = "draining: " + m.Drain.Reason
		}
		r.Machines = append(r.Machines, schema.MachineReason{MachineID: m.ID, Reason: reason})
	}
	return r, nil
}
