package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
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
	var changed []schema.Unit
	for _, arg := range args {
		u, err := a.unit(ctx, unitName(arg))
		if err != nil {
			return err
		}
		if u.DesiredState == state && u.Finished == "" {
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
	if err := a.wait(ctx, unitNames(waiting), state, b.attempts); err != nil || state != schema.Launched {
		return err
	}
	return a.waitActive(ctx, waiting, b.attempts)
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

func (a *app) stopCommand() *cobra.Command {
	return a.lowerCommand(schema.Loaded, "stop", "stopped", &cobra.Command{
		Use:   "stop UNIT...",
		Short: "Stop units; they stay loaded on their machines",
		Long:  "Stops units and waits until they have stopped. Names can be patterns, such as 'web@*'.",
	}, func(u schema.Unit) (bool, error) {
		if u.CurrentState == schema.Inactive {
			return false, fmt.Errorf("unable to stop unit %s in state inactive: it is on no machine; unload it to keep it so", u.Name)
		}
		return u.CurrentState != schema.Loaded || u.DesiredState != schema.Loaded, nil
	})
}

func (a *app) unloadCommand() *cobra.Command {
	return a.lowerCommand(schema.Inactive, "unload", "unloaded", &cobra.Command{
		Use:   "unload UNIT...",
		Short: "Stop units and remove them from their machines",
		Long: "Stops units and removes them from their machines. The cluster keeps their files. Names can be\n" +
			"patterns, such as 'web@*'.",
	}, func(u schema.Unit) (bool, error) {
		return u.CurrentState != schema.Inactive || u.DesiredState != schema.Inactive, nil
	})
}

// lowerCommand makes the commands stop and unload. needed reports whether a unit that is not global
// has to be changed.
func (a *app) lowerCommand(state, verb, past string, command *cobra.Command, needed func(schema.Unit) (bool, error)) *cobra.Command {
	var b blocking
	b.addFlags(command, true)
	command.ValidArgsFunction = a.completeUnits
	command.RunE = a.onFound(func(ctx context.Context, found []schema.Unit) error {
		var changed []schema.Unit
		for _, u := range found {
			if !global(u) {
				if need, err := needed(u); err != nil || !need {
					if err != nil {
						return err
					}
					continue
				}
			}
			if err := a.client.Set(ctx, schema.Unit{Name: u.Name, DesiredState: state}); err != nil {
				return fmt.Errorf("%s %s: %w", verb, u.Name, err)
			}
			changed = append(changed, u)
		}
		waiting := unitNames(a.triggered(changed, verb, b))
		if err := a.wait(ctx, waiting, state, b.attempts); err != nil {
			return err
		}
		if len(waiting) > 0 {
			a.warn("Successfully %s units %v.", past, waiting)
		}
		return nil
	})
	return command
}

func (a *app) destroyCommand() *cobra.Command {
	var b blocking
	command := &cobra.Command{
		Use:   "destroy UNIT...",
		Short: "Stop units and remove them from the cluster",
		Long: "Stops units, and removes their files and records from the cluster. Names can be patterns, such as\n" +
			"'web@*'.",
		ValidArgsFunction: a.completeUnits,
		RunE: a.onFound(func(ctx context.Context, found []schema.Unit) error {
			var failed error
			for _, u := range found {
				failed = errors.Join(failed, a.destroy(ctx, u.Name, b))
			}
			return failed
		}),
	}
	b.addFlags(command, true)
	return command
}

func (a *app) destroy(ctx context.Context, name string, b blocking) error {
	err := a.client.Destroy(ctx, name)
	if errors.Is(err, schema.ErrNotFound) {
		return nil // somebody else has destroyed it
	}
	if err != nil {
		return fmt.Errorf("error destroying unit %s: %w", name, err)
	}
	if !b.noBlock {
		err = poll(ctx, b.attempts, func(ctx context.Context) (bool, error) {
			_, err := a.client.Unit(ctx, name)
			return errors.Is(err, schema.ErrNotFound), nil
		})
		if err != nil {
			return fmt.Errorf("error destroying unit %s: %w while it is still there", name, err)
		}
	}
	a.say("Destroyed %s", name)
	return nil
}

func (a *app) restartCommand() *cobra.Command {
	var b blocking
	command := &cobra.Command{
		Use:   "restart UNIT...",
		Short: "Stop and start units, one after the other",
		Long: "Stops each unit, starts it again on the same machine, and waits until it is active before it\n" +
			"restarts the next one. It starts a unit that is stopped. For a global unit it runs systemctl on\n" +
			"each of the unit's machines, over SSH. Names can be patterns, such as 'web@*'.",
		ValidArgsFunction: a.completeUnits,
		RunE: a.onFound(func(ctx context.Context, found []schema.Unit) error {
			if len(found) == 0 {
				return exit.Status(1)
			}
			for _, u := range found {
				if err := a.restart(ctx, u, b); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	b.addFlags(command, false)
	a.sshFlags(command)
	return command
}

func (a *app) restart(ctx context.Context, u schema.Unit, b blocking) error {
	if global(u) {
		return a.onMachinesOf(ctx, u, "systemctl", "restart", u.Name)
	}
	set := func(state string) error {
		return a.client.Set(ctx, schema.Unit{Name: u.Name, DesiredState: state})
	}
	switch u.CurrentState {
	case schema.Launched:
		if err := set(schema.Loaded); err != nil {
			return fmt.Errorf("stop %s: %w", u.Name, err)
		}
		if err := a.waitStopped(ctx, u.Name, b); err != nil {
			return err
		}
	case schema.Loaded:
	default:
		a.warn("Unable to restart unit %s in state %s", u.Name, u.CurrentState)
		return nil
	}
	if err := set(schema.Launched); err != nil {
		return fmt.Errorf("start %s: %w; it is stopped now", u.Name, err)
	}
	if err := a.wait(ctx, []string{u.Name}, schema.Launched, b.attempts); err != nil {
		return err
	}
	return a.waitActive(ctx, []schema.Unit{u}, b.attempts)
}

// waitStopped waits, without output, until a unit that is restarted has stopped.
func (a *app) waitStopped(ctx context.Context, name string, b blocking) error {
	silent := *a
	silent.Out = io.Discard
	return silent.wait(ctx, []string{name}, schema.Loaded, b.attempts)
}
