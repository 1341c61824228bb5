package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
)

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
