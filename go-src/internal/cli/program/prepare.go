package program

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
)

// prepare makes usage errors of what is wrong in the command line of a command or of one
// below it: flags, arguments, names of commands. It has a command that only has commands
// below it show its help.
func prepare(root *cobra.Command) {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.Usage(err) })
	prepareArgs(root)
}

func prepareArgs(command *cobra.Command) {
	switch {
	case !command.Runnable():
		command.Args = known
		command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
	case command.Name() == "help" && command.Args == nil: // cobra's
		command.Args = Topic
	}
	check := command.Args
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	command.Args = func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return exit.Usage(err)
		}
		// cobra checks these too, but its errors are of no type.
		if err := command.ValidateRequiredFlags(); err != nil {
			return exit.Usage(err)
		}
		return exit.Usage(command.ValidateFlagGroups())
	}
	for _, sub := range command.Commands() {
		prepareArgs(sub)
	}
}

// Topic refuses the name of a command that there is not as an argument of help.
func Topic(help *cobra.Command, args []string) error {
	command, rest, err := help.Root().Find(args)
	if err != nil {
		return err
	}
	return known(command, rest)
}

// known refuses the name of a command that there is not.
func known(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if command.SuggestionsMinimumDistance <= 0 {
		command.SuggestionsMinimumDistance = 2
	}
	hint := ""
	if like := command.SuggestionsFor(args[0]); len(like) > 0 {
		slices.Sort(like)
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(like, " or "))
	}
	return fmt.Errorf("unknown command %q%s; %s --help lists the commands", args[0], hint, command.CommandPath())
}

// NoArgs refuses arguments. Its error fits a command without commands below it, which that
// of cobra.NoArgs does not.
func NoArgs(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: %s takes none", args[0], command.CommandPath())
	}
	return nil
}
