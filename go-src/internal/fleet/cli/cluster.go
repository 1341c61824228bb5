package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/output"
	"coreos/internal/fleet/schema"
)

func (a *app) whyCommand() *cobra.Command {
	format := "table"
	command := &cobra.Command{
		Use:               "why UNIT",
		Short:             "Explain why a unit is on its machine, or on none",
		Long:              "Prints a summary, and for each machine the reason why it cannot run the unit.",
		ValidArgsFunction: a.completeUnits,
		RunE: a.on(func(ctx context.Context, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("one unit must be named, not %d", len(args))
			}
			why, err := a.client.Why(ctx, unitName(args[0]))
			if err != nil {
				return fmt.Errorf("unit %s: %w", unitName(args[0]), err)
			}
			if format == "json" {
				return output.JSON(a.Out, why)
			}
			return a.printReasons(ctx, why)
		}),
	}
	command.Flags().StringVar(&format, "output", format, "table or json")
	return command
}

func (a *app) printReasons(ctx context.Context, why schema.Reasons) error {
	a.say("%s: %s", why.Name, why.Summary)
	if len(why.Machines) == 0 {
		return nil
	}
	a.loadMachines(ctx)
	table := tabwriter.NewWriter(a.Out, 0, 8, 1, '\t', 0)
	fmt.Fprintln(table, "\nMACHINE\tWHY NOT")
	for _, m := range why.Machines {
		fmt.Fprintf(table, "%s\t%s\n", place(a.machine(m.MachineID), false), or(m.Reason))
	}
	return table.Flush()
}

func (a *app) drainCommand() *cobra.Command {
	request, b := schema.DrainRequest{}, blocking{}
	command := &cobra.Command{
		Use:   "drain MACHINE",
		Short: "Move the units of a machine to other machines, and give it no new ones",
		Long: "Waits until the machine has no units that can run elsewhere, and prints what it waits for. Global\n" +
			"units and units with MachineID stay. MACHINE is an ID or the beginning of one.",
		Args: cobra.ExactArgs(1),
		RunE: a.on(func(ctx context.Context, args []string) error {
			m, err := a.findMachine(ctx, args[0])
			if err != nil {
				return err
			}
			if err := a.client.Drain(ctx, m.ID, request); err != nil {
				return fmt.Errorf("drain %s: %w", m.ID, err)
			}
			if b.noBlock {
				a.say("Triggered drain of %s", place(m, false))
				return nil
			}
			return a.waitEmpty(ctx, m, b.attempts)
		}),
	}
	command.Flags().StringVar(&request.Reason, "reason", "", "`TEXT` that is shown with the machine")
	command.Flags().BoolVar(&request.UntilRestart, "until-restart", false, "end the drain when the machine has restarted")
	b.addFlags(command, true)
	return command
}

// bound reports whether a unit can run only on one machine.
func bound(u schema.Unit) bool { return requirements(u).MachineID != "" }

// waitEmpty waits until a machine has no units but global units and units that can run only there.
func (a *app) waitEmpty(ctx context.Context, m schema.Machine, attempts int) error {
	w := a.waiter(nil)
	empty := 0
	err := poll(ctx, attempts, func(ctx context.Context) (bool, error) {
		all, err := a.client.Units(ctx)
		if err != nil {
			w.tell("", err.Error())
			return false, nil
		}
		w.left = nil
		for _, u := range all {
			if u.MachineID == m.ID && !global(u) && !bound(u) {
				w.left = append(w.left, u.Name)
			}
		}
		w.explain(ctx)
		if empty++; len(w.left) > 0 {
			empty = 0
		}
		return empty == 2, nil // one list may miss a unit, if the cluster changes between two pages
	})
	if err != nil {
		return fmt.Errorf("drain %s: %w with %d units left; no new ones come", m.ID, err, len(w.left))
	}
	a.say("Drained %s", place(m, false))
	return nil
}

func (a *app) undrainCommand() *cobra.Command {
	untilRestart := false
	command := &cobra.Command{
		Use:   "undrain MACHINE",
		Short: "End the drain of a machine",
		Args:  cobra.ExactArgs(1),
		RunE: a.on(func(ctx context.Context, args []string) error {
			m, err := a.findMachine(ctx, args[0])
			if err != nil {
				return err
			}
			if untilRestart && (m.Drain == nil || m.Drain.Boot == "") {
				return nil
			}
			if err := a.client.Undrain(ctx, m.ID); err != nil {
				return fmt.Errorf("undrain %s: %w", m.ID, err)
			}
			a.say("%s can have units again", place(m, false))
			return nil
		}),
	}
	command.Flags().BoolVar(&untilRestart, "until-restart", false, "end the drain only if it was begun with --until-restart")
	return command
}

func (a *app) rebalanceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rebalance",
		Short: "Move units from full machines to empty ones",
		Args:  cobra.NoArgs,
		RunE: a.on(func(ctx context.Context, _ []string) error {
			moved, err := a.client.Rebalance(ctx)
			if err != nil {
				return fmt.Errorf("rebalance: %w", err)
			}
			a.say("Moved %d units", moved)
			return nil
		}),
	}
}
