// Command coreos-cloudinit applies the cloud-config of a machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"coreos/internal/cli/singledash"
	"coreos/internal/provision/cloudinit"
	"coreos/internal/provision/datasource"
)

// errUsage says that the command was not called as it can be.
var errUsage = errors.New("usage")

func main() {
	var f flags
	command := &cobra.Command{
		Use:   "coreos-cloudinit",
		Short: "Apply this machine's cloud-config",
		Long: "Looks at all sources that the flags name, at once, and applies what the first of them has:\n" +
			"a #cloud-config, or a #! script, which runs as " + cloudinit.ScriptUnit + ". Applied again, a\n" +
			"cloud-config changes nothing. Flags may be written with one dash, as upstream's.\n\n" +
			"Exit status: 0 when all went well; 1 if the user-data has errors (what is right in it was\n" +
			"applied; 0 with -ignore-failure), or something could not be done; 2 for wrong flags; 3 if this\n" +
			"machine has none of the sources.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	// The units show standard error, which is what someone has to do something about, on
	// the console.
	log.SetOutput(os.Stdout)
	f.register(command.Flags())
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errors.Join(errUsage, err) })
	command.RunE = func(command *cobra.Command, _ []string) error { return run(command, &f) }
	command.SetArgs(singledash.Args(os.Args[1:]))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command.ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "coreos-cloudinit:", strings.ReplaceAll(err.Error(), "\n", ": "))
		os.Exit(2)
	case errors.Is(err, datasource.ErrAbsent):
		fmt.Println("coreos-cloudinit:", err)
		os.Exit(3)
	default:
		fmt.Fprintln(os.Stderr, "coreos-cloudinit:", err)
		os.Exit(1)
	}
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
	p := &cloudinit.Provision{Sources: sources, Workspace: f.workspace, Netconf: form, Problems: os.Stderr}
	if f.kind {
		log.SetOutput(os.Stderr) // the answer is alone on standard output
		kind, err := p.Kind(command.Context())
		if err == nil {
			fmt.Println(kind)
		}
		return err
	}
	if f.validate {
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

// onlyUserData tells whether nothing but the user-data is wrong.
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
