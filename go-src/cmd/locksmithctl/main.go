// Command locksmithctl shows and changes the lock by which the machines of a group
// restart one after the other. As locksmithd it is the daemon that restarts its machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/cli/envflags"
	"coreos/internal/cli/singledash"
	"coreos/internal/etcd/conn"
	"coreos/internal/reboot/lock"
)

// version is that of the locksmith whose commands, flags and output these are.
const version = "0.6.2"

// options are the flags of both.
type options struct {
	etcd  conn.Config
	group string
	debug bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := client()
	if filepath.Base(os.Args[0]) == "locksmithd" {
		command = daemon()
	}
	command.SetArgs(singledash.Args(os.Args[1:]))
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, command.Name()+":", err)
		var usage usageError
		if errors.As(err, &usage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// usageError is a mistake in the command line.
type usageError struct{ error }

// flags adds the flags of both, which have environment variables with a prefix, too.
func (o *options) flags(command *cobra.Command, prefix string) {
	flags := command.PersistentFlags()
	o.etcd.Flags(flags)
	flags.StringVar(&o.group, "group", "", "`NAME` of the group of machines")
	flags.BoolVar(&o.debug, "debug", false, "print debug information")
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	command.PersistentPreRunE = func(command *cobra.Command, _ []string) error {
		if err := envflags.Set(command.Flags(), prefix, notEmpty); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// notEmpty is the environment as upstream reads it: an empty variable is none.
func notEmpty(name string) (string, bool) {
	value := os.Getenv(name)
	return value, value != ""
}

// lock connects to the lock.
func (o *options) lock() (*clientv3.Client, *lock.Lock, error) {
	etcd, err := conn.Dial(o.etcd)
	if err != nil {
		return nil, nil, err
	}
	return etcd, lock.New(etcd, o.group), nil
}
