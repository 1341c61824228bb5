// Command etcd-memberctl helps operators of etcd: certificates, the replacement of dead
// members, snapshots, defragmentation, and warnings.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/envfile"
)

// options are the flags of several commands.
type options struct {
	etcd    conn.Config
	envFile string
	data    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return
	}
	var status exitStatus
	if errors.As(err, &status) {
		os.Exit(int(status))
	}
	fmt.Fprintln(os.Stderr, "etcd-memberctl:", err)
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// usageError is a mistake in the command line.
type usageError struct{ error }

// exitStatus is that of a command that said all there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func root() *cobra.Command {
	o := new(options)
	command := &cobra.Command{
		Use:   "etcd-memberctl",
		Short: "Look after this machine's member of an etcd cluster",
		Long: "Looks after this machine's member of an etcd cluster.\n\n" +
			"Certificates for etcd, where no flags name them, are those of the environment file.\n" +
			"A user's name and password are taken from ETCD_MEMBERCTL_ETCD_USERNAME and\nETCD_MEMBERCTL_ETCD_PASSWORD, too.\n\n" +
			"Exit status: 0 when all went well, 1 when not, 2 for a wrong command line, 3 for warnings\n(check).",
		SilenceUsage: true, SilenceErrors: true,
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	command.AddCommand(certsCommand(), o.replaceCommand(), o.joinCommand(), o.snapshotCommand(), o.restoreCommand(), o.defragCommand(), o.checkCommand())
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
	flags.StringVar(&o.envFile, "env-file", envfile.Path, "`FILE` with etcd's ETCD_* variables")
	flags.StringVar(&o.data, "data-dir", datadir.Path, "etcd's data `DIRECTORY`, if ETCD_DATA_DIR does not name one")
}

// credentials are the user and the password of the environment.
func (o *options) credentials() {
	for name, value := range map[string]*string{"ETCD_MEMBERCTL_ETCD_USERNAME": &o.etcd.Username, "ETCD_MEMBERCTL_ETCD_PASSWORD": &o.etcd.Password} {
		if *value == "" {
			*value = os.Getenv(name)
		}
	}
}

// settings reads the environment file, and takes from it what flags did not say.
func (o *options) settings() (*envfile.File, error) {
	env, err := envfile.Read(o.envFile)
	if err != nil {
		return nil, err
	}
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
	return env, nil
}

// local is settings for commands about the local member only.
func (o *options) local() (*envfile.File, error) {
	if len(o.etcd.Endpoints) != 1 {
		return nil, usageError{errors.New("this is about one member: give one --endpoint")}
	}
	return o.settings()
}

// say prints what was done.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("want one argument, %s", what)}
		}
		return nil
	}
}
