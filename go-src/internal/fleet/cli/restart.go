package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/fleet/schema"
)

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
