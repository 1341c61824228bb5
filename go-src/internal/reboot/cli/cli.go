// Package cli has the commands locksmithctl, which shows and changes the lock by which the
// machines of a group restart one after the other, and locksmithd, the daemon that
// restarts its machine. Commands, flags, variables and output are those of locksmith's
// (https://github.com/coreos/locksmith/blob/v0.6.2/README.md).
package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/cli/envflags"
	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/cli/singledash"
	"coreos/internal/etcd/conn"
	"coreos/internal/reboot/lock"
)

// version is that of the locksmith whose commands, flags and output these are.
const version = "0.6.2"

// Main runs locksmithd if the process has its name, else locksmithctl.
func Main() { program.Main(command(os.Args[0]), singledash.Args(os.Args[1:])) }

// command returns the command for the name that a process was started with.
func command(argv0 string) *cobra.Command {
	if filepath.Base(argv0) == "locksmithd" {
		return daemon()
	}
	return client()
}

// options are the flags of both.
type options struct {
	etcd  conn.Config
	group string
	debug bool
}

// flags adds the flags of both, which have environment variables with a prefix, too.
func (o *options) flags(command *cobra.Command, prefix string) {
	flags := command.PersistentFlags()
	o.etcd.Flags(flags)
	flags.StringVar(&o.group, "group", "", "`NAME` of the group of machines")
	flags.BoolVar(&o.debug, "debug", false, "print debug information")
	command.PersistentPreRunE = func(command *cobra.Command, _ []string) error {
		return exit.Usage(envflags.Set(command.Flags(), prefix, envflags.NotEmpty))
	}
}

// lock connects to the lock.
func (o *options) lock() (*clientv3.Client, *lock.Lock, error) {
	etcd, err := conn.Dial(o.etcd)
	if err != nil {
		return nil, nil, err
	}
	return etcd, lock.New(etcd, o.group), nil
}

// on runs f with the lock.
func (o *options) on(f func(context.Context, *lock.Lock, []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		etcd, lock, err := o.lock()
		if err != nil {
			return err
		}
		defer func() { _ = etcd.Close() }()
		return f(command.Context(), lock, args)
	}
}
