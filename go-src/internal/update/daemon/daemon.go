// Package daemon is update-engine, the daemon that keeps a machine up to date: it connects
// the engine with the bus, the slots and the metrics.
package daemon

import (
	"context"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/host/metrics"
	"coreos/internal/update/bus"
	"coreos/internal/update/engine"
	"coreos/internal/update/machine"
	"coreos/internal/update/status"
)

// Main runs the daemon as this process.
func Main() { program.Main(command(), os.Args[1:]) }

func command() *cobra.Command {
	command := &cobra.Command{
		Use:   "update-engine",
		Short: "Keep this machine up to date (run by update-engine.service)",
		Long: "Ask the server in update.conf for updates, write them to the slot that does not run, and report\n" +
			"the result. update_engine_client talks to this daemon.",
		Args: program.NoArgs,
	}
	stateDir := command.Flags().String("state-dir", "/var/lib/update-engine", "`DIRECTORY` for the state that outlives a restart")
	command.RunE = func(command *cobra.Command, _ []string) error { return run(command.Context(), *stateDir) }
	command.AddCommand(copyConfigCommand(), privilegedCommand())
	return command
}

func run(ctx context.Context, stateDir string) error {
	systemBus, err := bus.Connect()
	if err != nil {
		return err
	}
	defer systemBus.Close()
	d, err := engine.NewDaemon("/", stateDir, copies.Find, machine.Machine{Root: machine.PrivilegedSocket}, func(s status.Status) { bus.Tell(systemBus, s) })
	if err != nil {
		return err
	}
	// Settle runs before the daemon answers requests.
	if err := d.Settle(); err != nil {
		slog.Error("the last update cannot be settled", "error", err)
	}
	if err := bus.Export(ctx, systemBus, d); err != nil {
		return err
	}
	if _, err := metrics.Serve(ctx, d.Metrics(), engine.Metrics{Status: d.Status}); err != nil {
		slog.Error("metrics are not served", "error", err)
	}
	return d.Run(ctx)
}
