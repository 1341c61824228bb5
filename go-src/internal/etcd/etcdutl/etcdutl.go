// Package etcdutl has upstream's tool for etcd's files: restore, defragment, check, migrate.
package etcdutl

import (
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/pkg/v3/cobrautl"
)

// Main runs the command as this process.
func Main() {
	if err := command().Execute(); err != nil {
		cobrautl.ExitWithError(cobrautl.ExitError, err)
	}
}

// command puts upstream's commands together, as its own main package does, which cannot
// be imported.
func command() *cobra.Command {
	cobra.EnablePrefixMatching = true
	root := &cobra.Command{Use: "etcdutl", Short: "Work on etcd's files while etcd does not run"}
	root.SetHelpTemplate(`{{.UsageString}}`)
	flags := root.PersistentFlags()
	flags.DurationVar(&etcdutl.FlockTimeout, "timeout", 10*time.Second, "time to wait for the lock of the database file, 0 without end")
	flags.StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "output format (fields, json, protobuf, simple, table)")
	root.AddCommand(etcdutl.NewDefragCommand(), etcdutl.NewSnapshotCommand(), etcdutl.NewHashKVCommand(),
		etcdutl.NewVersionCommand(), etcdutl.NewCompletionCommand(), etcdutl.NewMigrateCommand())
	return root
}
