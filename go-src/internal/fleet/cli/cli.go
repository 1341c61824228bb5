// Package cli has the commands of fleetctl. Their names, flags, variables and output are those of
// upstream's fleetctl (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/using-the-client.md).
package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coreos/internal/cli/envflags"
	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/cli/redact"
	"coreos/internal/fleet/client"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/sshclient"
)

// Streams are the standard streams of the command.
type Streams = sshclient.Streams

// app is one run of fleetctl.
type app struct {
	Streams
	flags  globalFlags
	client *client.Client
	// machines has the machines of the cluster; nil until they are loaded.
	machines map[string]schema.Machine
	sshPort  int
}

// globalFlags are the flags of all commands.
type globalFlags struct {
	debug, version              bool
	driver, endpoint            string
	requestTimeout              float64
	keyFile, certFile, caFile   string
	tunnel, sshUser, knownHosts string
	strictHostKeys              bool
	sshTimeout                  float64
	experimentalAPI             bool
	etcdPrefix                  string
}

// Main runs the command as this process.
func Main() {
	program.Process(func(ctx context.Context, streams program.Streams) int { return Run(ctx, os.Args[1:], Streams(streams)) })
}

// Run runs fleetctl and returns its exit status: 0, 1 for an error, 2 for a wrong command
// line, or the status of a command on a machine.
func Run(ctx context.Context, args []string, streams Streams) int {
	a := &app{Streams: streams}
	status, print, err := program.Execute(ctx, a.command(), args, program.Streams(streams))
	switch {
	case !print:
		return status
	case ctx.Err() != nil:
		return 130 // the status that shells give to an interrupted command
	}
	fmt.Fprintln(streams.Err, sentence(err))
	return status
}

// sentence returns the text of an error with a capital letter, as upstream's errors begin.
func sentence(err error) string {
	text := redact.Text(err.Error())
	return strings.ToUpper(text[:1]) + text[1:]
}

func (a *app) command() *cobra.Command {
	cobra.EnablePrefixMatching = true // fleetctl list-m
	command := &cobra.Command{
		Use:   "fleetctl",
		Short: "Run units on the machines of a fleet cluster",
		Long: "fleetctl submits unit files to a cluster, starts and stops the units, and shows their states.\n" +
			"Each flag has an environment variable, such as FLEETCTL_ENDPOINT for --endpoint.\n\n" +
			"Version " + schema.Version + ".",
		Args:          usage(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	a.globalFlags(command.PersistentFlags())
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.Usage(err) })
	command.PersistentPreRunE = func(command *cobra.Command, _ []string) error { return a.prepare(command) }
	command.AddCommand(
		a.listMachinesCommand(), a.listUnitsCommand(), a.listUnitFilesCommand(), a.catCommand(), a.statusCommand(), a.journalCommand(),
		a.submitCommand(), a.loadCommand(), a.startCommand(), a.restartCommand(), a.rollCommand(), a.stopCommand(), a.unloadCommand(), a.destroyCommand(),
		a.whyCommand(), a.drainCommand(), a.undrainCommand(), a.rebalanceCommand(),
		a.sshCommand(), a.fdForwardCommand(), a.verifyCommand(), a.versionCommand(),
	)
	command.InitDefaultHelpCmd()
	for _, sub := range command.Commands() {
		if sub.Name() == "help" {
			sub.Args = program.Topic
		}
		if sub.Args != nil {
			sub.Args = usage(sub.Args)
		}
	}
	return command
}

// usage makes a usage error of an error in the arguments.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return exit.Usagef("arguments of %s: %w", command.CommandPath(), err)
		}
		return nil
	}
}

func (a *app) globalFlags(f *pflag.FlagSet) {
	g := &a.flags
	f.BoolVar(&g.debug, "debug", false, "print requests to stderr")
	f.BoolVarP(&g.version, "version", "v", false, "print the version and exit")
	f.StringVar(&g.driver, "driver", driverAPI, "the way to the cluster; the only one is API")
	f.StringVar(&g.endpoint, "endpoint", client.Endpoint, "`URL` of the fleet API: unix:///PATH, http://HOST:PORT or https://HOST:PORT")
	f.Float64Var(&g.requestTimeout, "request-timeout", 10, "`SECONDS` to wait for the answer to a request")
	f.StringVar(&g.keyFile, "key-file", "", "`FILE` with the key of the client certificate, for an https endpoint")
	f.StringVar(&g.certFile, "cert-file", "", "`FILE` with the client certificate, for an https endpoint")
	f.StringVar(&g.caFile, "ca-file", "", "`FILE` with the certificates of the authorities that sign an https endpoint's certificate")
	f.StringVar(&g.tunnel, "tunnel", "", "connect through this machine, over SSH: `HOST[:PORT]`")
	f.StringVar(&g.sshUser, "ssh-username", "core", "`USER` for SSH")
	f.Float64Var(&g.sshTimeout, "ssh-timeout", 10, "`SECONDS` to wait for an SSH connection")
	f.StringVar(&g.knownHosts, "known-hosts-file", "~/.fleetctl/known_hosts", "`FILE` with the SSH keys of machines")
	f.BoolVar(&g.strictHostKeys, "strict-host-key-checking", true, "check the SSH keys of machines")
	f.BoolVar(&g.experimentalAPI, "experimental-api", true, "without effect")
	f.StringVar(&g.etcdPrefix, "etcd-key-prefix", "/_coreos.com/fleet/", "without effect: fleetd alone writes to etcd")
	f.StringVar(&g.keyFile, "etcd-keyfile", "", "old name of --key-file")
	f.StringVar(&g.certFile, "etcd-certfile", "", "old name of --cert-file")
	f.StringVar(&g.caFile, "etcd-cafile", "", "old name of --ca-file")
	for _, old := range []string{"experimental-api", "etcd-key-prefix", "etcd-keyfile", "etcd-certfile", "etcd-cafile"} {
		_ = f.MarkHidden(old) // they are all defined above
	}
}

// prepare reads the environment before every command.
func (a *app) prepare(command *cobra.Command) error {
	if err := envflags.Set(command.Root().PersistentFlags(), "FLEETCTL", envflags.NotEmpty); err != nil {
		return exit.Usage(err)
	}
	if a.flags.version {
		a.printVersion()
		return exit.Status(exit.OK)
	}
	return nil
}

// on runs a command with a client of the cluster.
func (a *app) on(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		if err := a.connect(command.Context()); err != nil {
			return fmt.Errorf("unable to initialize client: %w", err)
		}
		return run(command.Context(), args)
	}
}

// onUnits runs a command that has units as arguments. Without arguments it does nothing.
func (a *app) onUnits(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return a.on(func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			a.warn("No units given")
			return nil
		}
		return run(ctx, args)
	})
}

// onFound runs a command on the units of the cluster that the arguments name.
func (a *app) onFound(run func(ctx context.Context, found []schema.Unit) error) func(*cobra.Command, []string) error {
	return a.onUnits(func(ctx context.Context, args []string) error {
		found, err := a.findUnits(ctx, args)
		if err != nil {
			return err
		}
		return run(ctx, found)
	})
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and exit",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { a.printVersion() },
	}
}

func (a *app) printVersion() { a.say("fleetctl version %s", schema.Version) }

// say prints a line.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.Out, format+"\n", args...) }

// warn prints a line to stderr.
func (a *app) warn(format string, args ...any) { fmt.Fprintf(a.Err, format+"\n", args...) }
