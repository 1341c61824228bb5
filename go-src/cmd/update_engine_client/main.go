// Command update_engine_client shows what update-engine does and tells it what to do.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/godbus/dbus/v5"
	"github.com/spf13/cobra"

	"coreos/internal/cli/singledash"
	updatebus "coreos/internal/update/bus"
)

// flags are the actions, as upstream named them.
type flags struct {
	status, check, update, reset, watch, needsReboot, asJSON bool
	apply                                                    string
}

func main() {
	var f flags
	command := &cobra.Command{
		Use:   "update_engine_client",
		Short: "Show what update-engine does and tell it what to do",
		Long: "One of the actions is done; flags may be written with one dash, as upstream's.\n\n" +
			"Exit status: 0 when all went well, 1 otherwise; with -needs_reboot 0 if an update waits\n" +
			"for a restart, 2 if not.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(command *cobra.Command, _ []string) error { return run(command.Context(), f) },
	}
	actions := command.Flags()
	actions.BoolVar(&f.status, "status", false, "print the status and exit")
	actions.BoolVar(&f.asJSON, "json", false, "print the status as JSON")
	actions.BoolVar(&f.check, "check_for_update", false, "make the daemon ask for an update soon")
	actions.BoolVar(&f.update, "update", false, "ask for an update now, install it and wait for the end; also tries a version again that was rolled back")
	actions.BoolVar(&f.watch, "watch_for_updates", false, "print each change of the status")
	actions.BoolVar(&f.reset, "reset_status", false, "forget an installed update, and which versions were rolled back")
	actions.BoolVar(&f.needsReboot, "needs_reboot", false, "exit with 0 if an update waits for a restart")
	actions.StringVar(&f.apply, "apply", "", "install the bundle in `FILE`")
	_ = command.MarkFlagFilename("apply", "bundle")
	command.MarkFlagsMutuallyExclusive("status", "check_for_update", "update", "watch_for_updates", "reset_status", "needs_reboot", "apply")
	command.SetArgs(singledash.Args(os.Args[1:]))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "update_engine_client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	defer bus.Close()
	client := updatebus.NewClient(bus)
	switch {
	case f.check:
		return client.Call(ctx, "CheckForUpdate")
	case f.reset:
		return client.Call(ctx, "ResetStatus")
	case f.update:
		return update(ctx, client)
	case f.watch:
		return watch(ctx, client)
	case f.needsReboot:
		return needsReboot(ctx, client)
	case f.apply != "":
		path, err := filepath.Abs(f.apply)
		if err != nil {
			return err
		}
		return apply(ctx, client, path)
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return printStatus(os.Stdout, status, f.asJSON)
}
