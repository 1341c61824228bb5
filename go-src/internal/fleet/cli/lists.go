package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/unitfile"
)

func (a *app) listMachinesCommand() *cobra.Command {
	command := &cobra.Command{Use: "list-machines", Short: "List the machines of the cluster",
		Long: "Lists the machines that are in the cluster now."}
	columns := map[string]column[api.Machine]{
		"machine":  func(m api.Machine, full bool) string { return machineID(m, full) },
		"ip":       func(m api.Machine, _ bool) string { return or(m.PrimaryIP) },
		"metadata": func(m api.Machine, _ bool) string { return or(metadata(m)) },
		"version":  func(m api.Machine, _ bool) string { return or(m.Version) },
		"units":    func(m api.Machine, _ bool) string { return strconv.Itoa(m.Units) },
		"drain":    func(m api.Machine, _ bool) string { return drainText(m.Drain) },
	}
	return listCommand(a, command, "machine,ip,metadata", columns, func(ctx context.Context) ([]api.Machine, error) {
		return a.client.Machines(ctx)
	})
}

func metadata(m api.Machine) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		pairs = append(pairs, key+"="+m.Metadata[key])
	}
	return strings.Join(pairs, ",")
}

func drainText(d *api.Drain) string {
	switch {
	case d == nil:
		return "-"
	case d.Reason == "":
		return "yes"
	}
	return d.Reason
}

// machineID is how a machine is called: by the beginning of its ID.
func machineID(m api.Machine, full bool) string {
	if full {
		return m.ID
	}
	return m.ID[:min(len(m.ID), 8)] + "..."
}

// place is a machine with its address.
func place(m api.Machine, full bool) string {
	if m.PrimaryIP == "" {
		return machineID(m, full)
	}
	return machineID(m, full) + "/" + m.PrimaryIP
}

func (a *app) listUnitsCommand() *cobra.Command {
	command := &cobra.Command{Use: "list-units", Short: "List the units that are on machines, and their states",
		Long: "Lists what systemd says of the cluster's units, for each machine that has the unit."}
	columns := map[string]column[api.UnitState]{
		"unit":   func(s api.UnitState, _ bool) string { return s.Name },
		"load":   func(s api.UnitState, _ bool) string { return s.SystemdLoadState },
		"active": func(s api.UnitState, _ bool) string { return s.SystemdActiveState },
		"sub":    func(s api.UnitState, _ bool) string { return s.SystemdSubState },
		"machine": func(s api.UnitState, full bool) string {
			if s.MachineID == "" {
				return "-"
			}
			return place(a.machine(s.MachineID), full)
		},
		"hash": func(s api.UnitState, full bool) string {
			if full {
				return or(s.Hash)
			}
			return or(s.Hash[:min(len(s.Hash), 7)])
		},
	}
	return listCommand(a, command, "unit,machine,active,sub", columns, func(ctx context.Context) ([]api.UnitState, error) {
		a.loadMachines(ctx)
		return a.client.States(ctx)
	})
}

func (a *app) listUnitFilesCommand() *cobra.Command {
	command := &cobra.Command{Use: "list-unit-files", Short: "List the units that the cluster knows",
		Long: "Lists all units, with the state in which they are wanted and the one in which they are."}
	target := func(u api.Unit, full bool) string {
		switch {
		case global(u):
			return "global"
		case u.MachineID == "":
			return "-"
		}
		return place(a.machine(u.MachineID), full)
	}
	columns := map[string]column[api.Unit]{
		"unit":     func(u api.Unit, _ bool) string { return u.Name },
		"global":   func(u api.Unit, _ bool) string { return strconv.FormatBool(global(u)) },
		"dstate":   func(u api.Unit, _ bool) string { return or(u.DesiredState) },
		"target":   target,
		"tmachine": target,
		"state": func(u api.Unit, _ bool) string {
			if global(u) {
				return "-"
			}
			return or(u.CurrentState)
		},
		"hash": func(u api.Unit, full bool) string {
			if full {
				return u.File().Hash().String()
			}
			return u.File().Hash().Short()
		},
		"desc": func(u api.Unit, _ bool) string { return or(u.File().Description()) },
	}
	return listCommand(a, command, "unit,hash,dstate,state,target", columns, func(ctx context.Context) ([]api.Unit, error) {
		a.loadMachines(ctx)
		return a.client.Units(ctx)
	})
}

// global reports whether the unit runs on all machines that fit.
func global(u api.Unit) bool { return requirements(u).Global }

func requirements(u api.Unit) unitfile.Requirements {
	r, _ := u.Requirements() // those of a unit that was taken are right
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
			fmt.Fprint(a.Out, u.File())
			return nil
		}),
	}
}
