package daemon

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

	"coreos/internal/cli/program"
	"coreos/internal/cli/singledash"
	"coreos/internal/fleet/schema"
)

// Main runs the command fleetd as this process.
func Main() { program.Main(command(), singledash.Args(os.Args[1:])) }

func command() *cobra.Command {
	config := ""
	c := &cobra.Command{
		Use:   "fleetd",
		Short: "Make this machine part of a fleet cluster",
		Long: `fleetd makes this machine part of a fleet cluster. fleet.service starts it, fleet.socket opens its
sockets. Its settings are in /etc/fleet/fleet.conf and in environment variables FLEET_*, which
override the file.

SIGHUP reads the settings again. SIGUSR1 writes the state of the cluster to the standard output.
The units keep running when the daemon stops: fleetctl drain moves them to other machines.

Exit status: 0 on success, 1 on an error, 2 for a wrong command line.`,
		Version: schema.Version, Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return run(command.Context(), config) },
	}
	c.SetVersionTemplate("fleetd version {{.Version}}\n")
	c.PersistentFlags().StringVar(&config, "config", "", "`FILE` with settings")
	c.AddCommand(&cobra.Command{
		Use: "guard", Short: "Stop units when the daemon does not renew the machine's lease",
		Long: `guard waits until the machine's lease may have expired because the daemon did not renew it: the
daemon was killed, does not start, or hangs. Other machines may then run the units, so guard
stops the units that can run elsewhere, unless cut_off=keep is set. fleet-guard.service starts it.`,
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return Guard(command.Context(), func() (Settings, error) { return ReadDaemons(command.Context(), config) })
		},
	}, &cobra.Command{
		Use: "leave", Short: "Leave the cluster: stop the daemon and all units of this machine",
		Long: `leave stops the daemon and then all units of this machine, and revokes the machine's lease, so that
other machines get the units at once. Run fleetctl drain before it to move them one by one. The
machine joins the cluster again when fleet.service starts: at the next boot, unless you disable it.`,
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			settings, err := ReadDaemons(command.Context(), config)
			if err != nil {
				return err
			}
			return Leave(command.Context(), settings, func(format string, arguments ...any) {
				fmt.Fprintf(command.OutOrStdout(), format+"\n", arguments...)
			})
		},
	}, &cobra.Command{
		Use: "version", Short: "Print the version", Args: program.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			fmt.Fprintln(command.OutOrStdout(), "fleetd version", schema.Version)
		},
	})
	return c
}

// run runs the daemon, and starts it again after each SIGHUP. Sockets stay open and the
// lease is kept, so that neither clients nor the cluster notice.
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
	listeners, err := Listeners()
	if err != nil {
		return err
	}
	settings, err := Read(config, os.LookupEnv)
	for err == nil {
		slog.SetLogLoggerLevel(slog.LevelInfo)
		if settings.Verbosity > 0 {
			slog.SetLogLoggerLevel(slog.LevelDebug)
		}
		session, end := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- Run(session, settings, listeners, dump) }()
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

// errEnded says that the daemon ended because it was told to.
var errEnded = errors.New("ended")

// wait waits until the daemon ends, or until there are settings to start again with.
func wait(ctx context.Context, again <-chan os.Signal, done <-chan error, config string) (Settings, error) {
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil || err == nil {
				err = errEnded
			}
			return Settings{}, err
		case <-again:
			settings, err := Read(config, os.LookupEnv)
			if err == nil {
				return settings, nil
			}
			slog.Error("the settings stay unchanged", "error", err)
		}
	}
}
