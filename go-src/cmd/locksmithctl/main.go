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
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcdclient"
	"coreos/internal/rebootlock"
	"coreos/internal/singledash"
)

// version is that of the locksmith whose commands, flags and output these are.
const version = "0.6.2"

// options are the flags of both.
type options struct {
	etcd  etcdclient.Config
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
		return fromEnvironment(prefix, command.Flags())
	}
}

// fromEnvironment sets the flags that the command line did not: --etcd-cafile from
// LOCKSMITHD_ETCD_CAFILE or LOCKSMITHCTL_ETCD_CAFILE.
func fromEnvironment(prefix string, flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(flag *pflag.Flag) {
		name := prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if value := os.Getenv(name); value != "" && !flag.Changed {
			if problem := flags.Set(flag.Name, value); problem != nil {
				err = errors.Join(err, usageError{fmt.Errorf("%s: %w", name, problem)})
			}
		}
	})
	return err
}

// lock connects to the lock.
func (o *options) lock() (*clientv3.Client, *rebootlock.Lock, error) {
	etcd, err := etcdclient.Dial(o.etcd)
	if err != nil {
		return nil, nil, err
	}
	return etcd, rebootlock.New(etcd, o.group), nil
}
