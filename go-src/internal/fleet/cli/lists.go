package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

func (a *app) listMachinesCommand() *cobra.Command {
	command := &cobra.Command{Use: "list-machines", Short: "List the machines of the cluster",
		Long: "Lists the machines that are in the cluster now."}
	columns := map[string]column[schema.Machine]{
		"machine":  func(m schema.Machine, full bool) string { return machineID(m, full) },
		"ip":       func(m schema.Machine, _ bool) string { return or(m.PrimaryIP) },
		"metadata": func(m schema.Machine, _ bool) string { return or(metadata(m)) },
		"version":  func(m schema.Machine, _ bool) string { return or(m.Version) },
		"units":    func(m schema.Machine, _ bool) string { return strconv.Itoa(m.Units) },
		"drain":    func(m schema.Machine, _ bool) string { return drainText(m.Drain) },
	}
	return listCommand(a, command, "machine,ip,metadata", columns, func(ctx context.Context) ([]schema.Machine, error) {
		return a.client.Machines(ctx)
	})
}

func metadata(m schema.Machine) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		pairs = append(pairs, key+"="+m.Metadata[key])
	}
	return strings.Join(pairs, ",")
}

func drainText(d *schema.Drain) string {
	switch {
	case d == nil:
		return "-"
	case d.Reason == "":
		return "yes"
	}
	return d.Reason
}

// machineID returns the ID of a machine, shortened if full is not set.
func machineID(m schema.Machine, full bool) string {
	if full {
		return m.ID
	}
	return m.ID[:min(len(m.ID), 8)] + "..."
}

// place returns the ID of a machine with its address.
func place(m schema.Machine, full bool) string {
	if m.PrimaryIP == "" {
		return machineID(m, full)
	}
	return machineID(m, full) + "/" + m.PrimaryIP
}

func (a *app) listUnitsCommand() *cobra.Command {
	command := &cobra.Command{Use: "list-units", Short: "List the units that are on machines, and their states",
		Long: "Lists the states that systemd reports for the units of the cluster, on each machine that has the unit."}
	columns := map[string]column[schema.UnitState]{
		"unit":    func(s schema.UnitState, _ bool) string { return s.Name },
		"load":    func(s schema.UnitState, _ bool) string { return s.SystemdLoadState },
		"active":  func(s schema.UnitState, _ bool) string { return s.SystemdActiveState },
		"sub":     func(s schema.UnitState, _ bool) string { return s.SystemdSubState },
		"problem": func(s schema.UnitState, _ bool) string { return or(s.Problem) },
		"machine": func(s schema.UnitState, full bool) string {
			if s.MachineID == "" {
				return "-"
			}
			return place(a.machine(s.MachineID), full)
		},
		"hash": func(s schema.UnitState, full bool) string {
			if full {
				return or(s.Hash)
			}
			return or(s.Hash[:min(len(s.Hash), 7)])
		},
	}
	return listCommand(a, command, "unit,machine,active,sub", columns, func(ctx context.Context) ([]schema.UnitState, error) {
		a.loadMachines(ctx)
		return a.client.States(ctx)
	})
}

func (a *app) listUnitFilesCommand() *cobra.Command {
	command := &cobra.Command{Use: "list-unit-files", Short: "List the units that the cluster has",
		Long: "Lists all units, with their desired and their current states."}
	target := func(u schema.Unit, full bool) string {
		switch {
		case global(u):
			return "global"
		case u.MachineID == "":
			return "-"
		}
		return place(a.machine(u.MachineID), full)
	}
	columns := map[string]column[schema.Unit]{
		"unit":     func(u schema.Unit, _ bool) string { return u.Name },
		"global":   func(u schema.Unit, _ bool) string { return strconv.FormatBool(global(u)) },
		"dstate":   func(u schema.Unit, _ bool) string { return or(u.DesiredState) },
		"target":   target,
		"tmachine": target,
		"state": func(u schema.Unit, _ bool) string {
			if global(u) {
				return "-"
			}
			return or(u.CurrentState)
		},
		"hash": func(u schema.Unit, full bool) string {
			if full {
				return unitfile.Of(u).Hash().String()
			}
			return unitfile.Of(u).Hash().Short()
		},
		"desc": func(u schema.Unit, _ bool) string { return or(unitfile.Of(u).Description()) },
	}
	return listCommand(a, command, "unit,hash,dstate,state,target", columns, func(ctx context.Context) ([]schema.Unit, error) {
		a.loadMachines(ctx)
		return a.client.Units(ctx)
	})
}

// global reports whether a unit runs on all machines that fit.
func global(u schema.Unit) bool { return requirements(u).Global }

func requirements(u schema.Unit) unitfile.Requirements {
	r, _ := unitfile.RequirementsOf(u) // fleetd has checked the requirements
	return r
}

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "cat UNIT",
		Short:             "Print the file of a unit, as the cluster has it",
		ValidArgsFunction: a.completeUnits,
		RunE: a.on(func(ctx context.Context, args []string) error {
			u, err := a.oneUnit(ctx, args)
			if err != nil {
				return err
			}
			fmt.Fprint(a.Out, unitfile.Of(u))
			return nil
		}),
	}
}
