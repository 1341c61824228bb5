// Command fleetd makes its machine part of a fleet cluster: it runs the units that the
// cluster gives to the machine, takes part in giving them, and serves fleet's API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"coreos/internal/cli/singledash"
	"coreos/internal/fleet/daemon"
	"coreos/internal/fleet/schema"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := command()
	command.SetArgs(singledash.Args(os.Args[1:]))
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fleetd:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	config := ""
	c := &cobra.Command{
		Use:   "fleetd",
		Short: "Make this machine part of a fleet cluster",
		Long: `fleetd makes this machine part of a fleet cluster. It is started by fleet.service, gets its
sockets from fleet.socket and its settings from /etc/fleet/fleet.conf and from environment
variables FLEET_*, which win.

SIGHUP reads the settings again, SIGUSR1 writes what is known of the cluster to the standard
output. When the daemon ends the units go on running: fleetctl drain moves them elsewhere.`,
		Version: schema.Version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error { return run(command.Context(), config) },
	}
	c.SetVersionTemplate("fleetd version {{.Version}}\n")
	c.PersistentFlags().StringVar(&config, "config", "", "`FILE` with settings")
	c.AddCommand(&cobra.Command{
		Use: "guard", Short: "Stop units when the daemon does not renew the machine's lease",
		Long: `guard waits until the machine's lease may have ended without the daemon's doing: it was
ended, cannot be started, or hangs. Then other machines may run the units, and it stops those
that can run elsewhere, unless cut_off=keep is set. It is started by fleet-guard.service.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return daemon.Guard(command.Context(), func() (daemon.Settings, error) { return daemon.ReadDaemons(command.Context(), config) })
		},
	}, &cobra.Command{
		Use: "leave", Short: "Leave the cluster: stop the daemon and all units of this machine",
		Long: `leave stops the daemon and then all units of this machine, and gives the machine's lease back,
so that others get the units at once. fleetctl drain beforehand moves them one by one. The machine
is in the cluster again when fleet.service is started, which happens with the next boot unless
it is disabled.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			settings, err := daemon.ReadDaemons(command.Context(), config)
			if err != nil {
				return err
			}
			return daemon.Leave(command.Context(), settings, func(format string, arguments ...any) { fmt.Printf(format+"\n", arguments...) })
		},
	}, &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Println("fleetd version", schema.Version) },
	})
	return c
}

// run runs the daemon, anew after each SIGHUP. Sockets stay open and the lease is resumed,
// so that nobody notices.
func run(ctx context.Context, config string) error {
	again, user1 := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	signal.Notify(user1, syscall.SIGUSR1)
	dump := make(chan io.Writer)
	go func() {
		for range user1 {
			dump <- os.Stdout
		}
	}()
	listeners, err := daemon.Listeners()
	if err != nil {
		return err
	}
	settings, err := daemon.Read(config, os.LookupEnv)
	for err == nil {
		slog.SetLogLoggerLevel(slog.LevelInfo)
		if settings.Verbosity > 0 {
			slog.SetLogLoggerLevel(slog.LevelDebug)
		}
		session, end := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- daemon.Run(session, settings, listeners, dump) }()
		settings, err = wait(ctx, again, done, config)
		end()
		if errors.Is(err, errEnded) {
			return nil
		}
		if err == nil {
			<-done
		}
	}
	return err
}

// errEnded is that the daemon ended as it was asked to.
var errEnded = errors.New("ended")

// wait waits for the daemon to end, or for settings to begin again with.
func wait(ctx context.Context, again <-chan os.Signal, done <-chan error, config string) (daemon.Settings, error) {
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil || err == nil {
				err = errEnded
			}
			return daemon.Settings{}, err
		case <-again:
			settings, err := daemon.Read(config, os.LookupEnv)
			if err == nil {
				return settings, nil
			}
			slog.Error("the settings are left as they were", "error", err)
		}
	}
}
