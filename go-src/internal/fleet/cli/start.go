package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
)

func (a *app) loadCommand() *cobra.Command {
	return a.raiseCommand(schema.Loaded, "load", &cobra.Command{
		Use:   "load UNIT...",
		Short: "Load units into systemd on machines of the cluster, without starting them",
		Long: "Submits the units that the cluster does not have (see submit), and waits until systemd has loaded\n" +
			"each of them on a machine.",
	})
}

func (a *app) startCommand() *cobra.Command {
	return a.raiseCommand(schema.Launched, "start", &cobra.Command{
		Use:   "start UNIT...",
		Short: "Start units on machines of the cluster",
		Long: "Submits the units that the cluster does not have (see submit), and waits until each is active. After\n" +
			"some seconds it prints what it waits for. A unit that fails or ends is an error; a unit with\n" +
			"Type=oneshot or RunOnce may end.\n\n" +
			"    fleetctl start web@{1..3}.service",
	})
}

// raiseCommand makes the commands load and start.
func (a *app) raiseCommand(state, verb string, command *cobra.Command) *cobra.Command {
	var s submission
	var b blocking
	s.addFlags(command, state)
	b.addFlags(command, true)
	command.ValidArgsFunction = a.completeUnits
	command.RunE = a.onUnits(func(ctx context.Context, args []string) error {
		s.attempts = b.attempts
		if err := a.submit(ctx, args, s); err != nil {
			return err
		}
		return a.raise(ctx, args, state, verb, b)
	})
	return command
}

// raise sets the desired state loaded or launched, and waits for it.
func (a *app) raise(ctx context.Context, args []string, state, verb string, b blocking) error {
	var changed, unchanged []schema.Unit
	for _, arg := range args {
		u, err := a.unit(ctx, unitName(arg))
		if err != nil {
			return err
		}
		if u.DesiredState == state && u.Finished == "" {
			if !global(u) && !b.noBlock {
				unchanged = append(unchanged, u)
			}
			continue
		}
		if u.Finished != "" && state == schema.Launched { // the cluster forgets that it has finished only if the desired state changes
			if err := a.client.Set(ctx, schema.Unit{Name: u.Name, DesiredState: schema.Inactive}); err != nil {
				return fmt.Errorf("%s %s: %w", verb, u.Name, err)
			}
		}
		if err := a.client.Set(ctx, schema.Unit{Name: u.Name, DesiredState: state}); err != nil {
			return fmt.Errorf("%s %s: %w", verb, u.Name, err)
		}
		changed = append(changed, u)
	}
	waiting := a.triggered(changed, verb, b)
	names := unitNames(waiting)
	for _, u := range unchanged {
		if !reached(u, state) || u.Problem != "" { // the others were announced by the command before
			names = append(names, u.Name)
		}
	}
	if err := a.wait(ctx, names, state, b.attempts); err != nil || state != schema.Launched {
		return err
	}
	return a.waitActive(ctx, append(waiting, unchanged...), b.attempts)
}

// triggered prints the units for which the command does not wait, and returns the others.
func (a *app) triggered(units []schema.Unit, verb string, b blocking) (waiting []schema.Unit) {
	for _, u := range units {
		switch {
		case global(u):
			a.say("Triggered global unit %s %s", u.Name, verb)
		case !b.noBlock:
			waiting = append(waiting, u)
		}
	}
	for _, u := range units {
		if b.noBlock && !global(u) {
			a.say("Triggered unit %s %s", u.Name, verb)
		}
	}
	return waiting
}
