// Command update-engine is the daemon that keeps a machine up to date.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"

	"github.com/godbus/dbus/v5"
	"github.com/spf13/cobra"

	"coreos/internal/boot/booted"
	"coreos/internal/host/metrics"
	updatebus "coreos/internal/update/bus"
	"coreos/internal/update/engine"
)

func main() {
	command := &cobra.Command{
		Use:   "update-engine",
		Short: "Keep this machine up to date (run by update-engine.service)",
		Long: "Asks the server of update.conf for updates, writes them to the slot that does not run\n" +
			"and tells what became of them. update_engine_client talks to it.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	stateDir := command.Flags().String("state-dir", "/var/lib/update-engine", "directory for what must not be forgotten")
	command.RunE = func(command *cobra.Command, _ []string) error { return run(command.Context(), *stateDir) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "update-engine:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stateDir string) error {
	m, err := booted.Open()
	if err != nil {
		return err
	}
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	defer bus.Close()
	d, err := engine.NewDaemon("/", stateDir, slotwriter.Machine{Machine: m}, func(s status.Status) { updatebus.Tell(bus, s) })
	if err != nil {
		return err
	}
	// Before anybody can ask.
	if err := d.Settle(); err != nil {
		slog.Error("settle", "error", err)
	}
	if err := updatebus.Export(ctx, bus, d); err != nil {
		return err
	}
	if _, err := metrics.Serve(ctx, d.Metrics(), engine.Metrics{Status: d.Status}); err != nil {
		slog.Error("no metrics", "error", err)
	}
	return d.Run(ctx)
}
