// Package cli has the command etcd-memberctl, with which an operator of etcd makes
// certificates, replaces a dead member, takes and restores snapshots, defragments, and
// sees warnings.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/envfile"
	"coreos/internal/etcd/settings"
	"coreos/internal/etcd/unit"
)

// options are the flags of several commands.
type options struct {
	etcd    conn.Config
	envFile string
	data    string
}

// Main runs the command as this process.
func Main() { program.Main(root(), os.Args[1:]) }

func root() *cobra.Command {
	o := new(options)
	command := &cobra.Command{
		Use:   "etcd-memberctl",
		Short: "Look after this machine's member of an etcd cluster",
		Long: "Look after this machine's member of an etcd cluster.\n\n" +
			"The settings of the member are those with which systemd runs etcd-member.service. If no flag\n" +
			"names certificates for etcd, those of the settings are used. The user and\n" +
			"the password may be in ETCD_MEMBERCTL_ETCD_USERNAME and ETCD_MEMBERCTL_ETCD_PASSWORD.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line, 3 for warnings (check).",
	}
	command.AddCommand(certsCommand(), o.replaceCommand(), o.joinCommand(), o.snapshotCommand(), o.restoreCommand(), o.defragCommand(), o.checkCommand(), verifyDataCommand())
	return command
}

// etcdFlags adds the flags of commands that talk to etcd. --endpoints is --endpoint, as
// users of etcdctl write it.
func (o *options) etcdFlags(flags *pflag.FlagSet) {
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "endpoints" {
			name = "endpoint"
		}
		return pflag.NormalizedName(name)
	})
	o.etcd.Flags(flags)
	o.fileFlags(flags)
}

func (o *options) fileFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.envFile, "env-file", envfile.Path, "`FILE` with ETCD_* variables, the one that replace and join change; if given, nothing else is read")
	flags.StringVar(&o.data, "data-dir", datadir.Path, "etcd's data `DIRECTORY`, if ETCD_DATA_DIR does not name one")
}

// credentials takes the user and the password from the environment.
func (o *options) credentials() {
	for name, value := range map[string]*string{"ETCD_MEMBERCTL_ETCD_USERNAME": &o.etcd.Username, "ETCD_MEMBERCTL_ETCD_PASSWORD": &o.etcd.Password} {
		if *value == "" {
			*value = os.Getenv(name)
		}
	}
}

// settings reads the settings of this machine's member and takes from them what no flag says. If
// --env-file is given, it is the only place of settings.
func (o *options) settings(command *cobra.Command) (env *settings.Settings, err error) {
	if command.Flags().Changed("env-file") {
		env, err = settings.FromFile(o.envFile)
	} else {
		env, err = serviceSettings(command.Context(), o.envFile)
	}
	if err != nil {
		return nil, err
	}
	o.take(env)
	return env, nil
}

// serviceSettings reads the settings with which systemd runs etcd.
func serviceSettings(ctx context.Context, path string) (*settings.Settings, error) {
	service, err := readService(ctx)
	if err != nil {
		return nil, fmt.Errorf("the settings of %s are not known: %w: %w", unit.Name, err, settings.ErrUnknown)
	}
	return settings.FromService(service, path)
}

// readService asks systemd how it runs etcd.
func readService(ctx context.Context) (unit.Service, error) {
	ctx, stop := context.WithTimeout(ctx, systemdTime)
	defer stop()
	etcd, err := unit.Open(ctx)
	if err != nil {
		return unit.Service{}, err
	}
	defer etcd.Close()
	return etcd.Service(ctx)
}

// systemdTime bounds the questions to systemd about the unit.
const systemdTime = 30 * time.Second

// take takes from the settings what no flag says.
func (o *options) take(env *settings.Settings) {
	o.credentials()
	if dir := env.Get("ETCD_DATA_DIR"); dir != "" {
		o.data = dir
	}
	if o.etcd.CAFile == "" {
		o.etcd.CAFile = env.Get("ETCD_TRUSTED_CA_FILE")
	}
	if o.etcd.CertFile == "" && o.etcd.KeyFile == "" && env.Get("ETCD_CLIENT_CERT_AUTH") == "true" {
		o.etcd.CertFile, o.etcd.KeyFile = env.Get("ETCD_CLIENT_CERT_FILE"), env.Get("ETCD_CLIENT_KEY_FILE")
		if o.etcd.CertFile == "" {
			o.etcd.CertFile, o.etcd.KeyFile = env.Get("ETCD_CERT_FILE"), env.Get("ETCD_KEY_FILE")
		}
	}
}

// local is settings for the commands that work on the local member only.
func (o *options) local(command *cobra.Command) (*settings.Settings, error) {
	if len(o.etcd.Endpoints) != 1 {
		return nil, exit.Usage(errors.New("this command works on one member: give one --endpoint"))
	}
	return o.settings(command)
}

// sayTo returns a function that prints a line of what was done.
func sayTo(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
}

func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("want one argument, %s", what)
		}
		return nil
	}
}
