package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
)

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

// waitGone waits until the cluster has forgotten a destroyed unit and no machine has it any more. A unit
// of the same name that somebody submits after that is not waited for.
func (a *app) waitGone(ctx context.Context, name string, attempts int) error {
	w := a.waiter([]string{name})
	forgotten := false
	return poll(ctx, attempts, func(ctx context.Context) (bool, error) {
		_, err := a.client.Unit(ctx, name)
		switch {
		case err == nil:
			return forgotten, nil
		case !errors.Is(err, schema.ErrNotFound):
			w.tell(name, err.Error())
			return false, nil
		}
		forgotten = true
		why, err := a.client.Why(ctx, name)
		if err != nil {
			return errors.Is(err, schema.ErrNotFound), nil
		}
		w.tell(name, why.Summary)
		return false, nil
	})
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
		if err := a.waitGone(ctx, name, b.attempts); err != nil {
			return fmt.Errorf("error destroying unit %s: %w while it is still there", name, err)
		}
	}
	a.say("Destroyed %s", name)
	return nil
}
