// Package cli has the command update_engine_client, which shows what update-engine does and
// tells it what to do.
package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/cli/singledash"
	"coreos/internal/update/bus"
	"coreos/internal/update/status"
)

// flags are the actions, as upstream named them.
type flags struct {
	status, check, update, reset, watch, needsReboot, asJSON bool
	apply                                                    string
}

// Main runs the command as this process.
func Main() { program.Main(command(), singledash.Args(os.Args[1:])) }

func command() *cobra.Command {
	var f flags
	command := &cobra.Command{
		Use:   "update_engine_client",
		Short: "Show what update-engine does and tell it what to do",
		Long: "Give one of the actions. Flags may be written with one dash, as upstream writes them.\n\n" +
			"Exit status: 0 on success, 1 otherwise. With -needs_reboot: 0 if an update waits for a\n" +
			"restart, 2 if not.",
		Args:        program.NoArgs,
		Annotations: map[string]string{program.MisuseFails: "yes"},
		RunE:        func(command *cobra.Command, _ []string) error { return run(command, f) },
	}
	actions := command.Flags()
	actions.BoolVar(&f.status, "status", false, "print the status and exit")
	actions.BoolVar(&f.asJSON, "json", false, "print the status as JSON")
	actions.BoolVar(&f.check, "check_for_update", false, "make the daemon ask for an update soon")
	actions.BoolVar(&f.update, "update", false, "ask for an update now, install it and wait for the end; also retries a version that was rolled back")
	actions.BoolVar(&f.watch, "watch_for_updates", false, "print each change of the status")
	actions.BoolVar(&f.reset, "reset_status", false, "forget an installed update and the versions that were rolled back")
	actions.BoolVar(&f.needsReboot, "needs_reboot", false, "exit with 0 if an update waits for a restart")
	actions.StringVar(&f.apply, "apply", "", "install the bundle in `FILE`")
	_ = command.MarkFlagFilename("apply", "bundle")
	command.MarkFlagsMutuallyExclusive("status", "check_for_update", "update", "watch_for_updates", "reset_status", "needs_reboot", "apply")
	return command
}

// client is the daemon, as the actions see it.
type client interface {
	Call(ctx context.Context, method string, args ...any) error
	ApplyBundle(ctx context.Context, path string) error
	Status(ctx context.Context) (status.Status, error)
	Watch(ctx context.Context, take func(status.Status) (enough bool, err error)) error
}

func run(command *cobra.Command, f flags) error {
	systemBus, err := bus.Connect()
	if err != nil {
		return err
	}
	defer systemBus.Close()
	return act(command.Context(), bus.NewClient(systemBus), f, command.OutOrStdout(), command.ErrOrStderr())
}

// act does the action that the flags name. Progress goes to progress.
func act(ctx context.Context, client client, f flags, out, progress io.Writer) error {
	switch {
	case f.check:
		return client.Call(ctx, "CheckForUpdate")
	case f.reset:
		return client.Call(ctx, "ResetStatus")
	case f.update:
		return follow(ctx, client, out, progress, func() error { return client.Call(ctx, "Update") })
	case f.watch:
		return watch(ctx, client, out)
	case f.needsReboot:
		return needsReboot(ctx, client)
	case f.apply != "":
		path, err := filepath.Abs(f.apply)
		if err != nil {
			return err
		}
		return follow(ctx, client, out, progress, func() error { return client.ApplyBundle(ctx, path) })
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return printStatus(out, s, f.asJSON)
}
