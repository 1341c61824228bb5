// Package cli has the command coreos-cloudinit, which applies the cloud-config of a machine.
// Its flags are those of coreos-cloudinit
// (https://github.com/coreos/coreos-cloudinit/blob/v1.14.0/coreos-cloudinit.go).
package cli

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/cli/singledash"
	"coreos/internal/provision/cloudinit"
	"coreos/internal/provision/datasource"
)

// absent is the exit status when the machine has none of the sources.
const absent = 3

// Main runs the command as this process.
func Main() {
	// The units show standard error on the console, so it has only messages that need
	// action.
	log.SetOutput(os.Stdout)
	program.Main(command(), singledash.Args(os.Args[1:]))
}

func command() *cobra.Command {
	var f flags
	command := &cobra.Command{
		Use:   "coreos-cloudinit",
		Short: "Apply this machine's cloud-config",
		Long: "Ask all sources that the flags name, at the same time, and apply what the first of them has: a\n" +
			"#cloud-config, or a #! script, which runs as " + cloudinit.ScriptUnit + ". Applying the same\n" +
			"cloud-config again changes nothing. Flags may be written with one dash, as upstream writes them.\n\n" +
			"Exit status: 0 on success; 1 if the user-data has errors (its correct parts are applied; with\n" +
			"-ignore-failure the status is 0) or on another error; 2 for wrong flags; 3 if this machine has\n" +
			"none of the sources.",
		Args: program.NoArgs,
	}
	f.register(command.Flags())
	command.AddCommand(configDriveCommand())
	command.RunE = func(command *cobra.Command, _ []string) error {
		err := run(command, &f)
		if errors.Is(err, datasource.ErrAbsent) {
			fmt.Fprintln(command.OutOrStdout(), "coreos-cloudinit:", err)
			return exit.Status(absent)
		}
		return err
	}
	return command
}

func run(command *cobra.Command, f *flags) error {
	sources, err := f.sources(command.Flags())
	if err != nil {
		return err
	}
	form, err := f.netconf()
	if err != nil {
		return err
	}
	p := &cloudinit.Provision{Sources: sources, Workspace: f.workspace, Netconf: form, Problems: command.ErrOrStderr()}
	if f.kind {
		log.SetOutput(command.ErrOrStderr()) // standard output has only the answer
		kind, err := p.Kind(command.Context())
		if err == nil {
			fmt.Fprintln(command.OutOrStdout(), kind)
		}
		return err
	}
	if f.validate {
		if p.Machine, err = cloudinit.ThisMachine(); err != nil {
			return err
		}
		return p.Validate(command.Context())
	}
	var done func()
	if p.Applier, done, err = cloudinit.NewApplier(command.Context(), f.sshKeyName); err != nil {
		return err
	}
	defer done()
	err = p.Run(command.Context())
	if f.ignoreFailure && err != nil && onlyUserData(err) {
		return nil
	}
	return err
}

// onlyUserData reports whether only the user-data has errors.
func onlyUserData(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if !onlyUserData(err) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, cloudinit.ErrUserData)
}
