// Package cli has the command slotctl, which shows and changes which slot boots, and
// decides whether the running one is healthy.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/boot/booted"
	"coreos/internal/boot/slot"
	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
)

// Main runs the command as this process.
func Main() { program.Main(root(), os.Args[1:]) }

func root() *cobra.Command {
	command := &cobra.Command{
		Use:   "slotctl",
		Short: "Show and choose the slot that boots",
		Long: "A machine has two slots, A and B, each with a whole system. The boot loader starts the first\n" +
			"slot of the order that has tries left. A healthy machine gives its slot all tries back (slotctl\n" +
			"check --mark). If it is not healthy, the other slot boots.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line.",
	}
	command.AddCommand(statusCommand(), nextCommand(), goodCommand(), badCommand(), checkCommand(), loaderCommand(), diskCommand(), deadlineCommand())
	return command
}

func statusCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show both slots: version, tries, whether proven, root hash of /usr",
		Args:  program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			reports, err := m.Slots()
			if err != nil {
				return err
			}
			if asJSON {
				return slot.WriteJSON(command.OutOrStdout(), reports)
			}
			return slot.WriteTable(command.OutOrStdout(), reports)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// change is a command that takes a slot and changes its state.
func change(use, short string, apply func(slot.Store, slot.Name) error) *cobra.Command {
	return &cobra.Command{
		Use:       use,
		Short:     short,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{string(slot.A), string(slot.B)},
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := slot.ParseName(args[0])
			if err != nil {
				return exit.Usage(err)
			}
			m, err := booted.Open()
			if err != nil {
				return err
			}
			return m.Change(func(s slot.Store) error { return apply(s, name) })
		},
	}
}

func nextCommand() *cobra.Command {
	return change("next SLOT", "Make SLOT boot next, with all its tries", slot.SetNext)
}

func goodCommand() *cobra.Command {
	return change("good SLOT", "Mark SLOT good: proven, with all its tries", slot.MarkGood)
}

func badCommand() *cobra.Command {
	var why string
	command := change("bad SLOT", "Mark SLOT bad: not proven, without tries", func(s slot.Store, n slot.Name) error {
		return slot.MarkBad(s, n, why)
	})
	command.Flags().StringVar(&why, "why", "operator", "short reason, shown by status")
	return command
}

func checkCommand() *cobra.Command {
	var mark bool
	var limit, patience time.Duration
	command := &cobra.Command{
		Use:   "check",
		Short: "Run the health checks; exit with 1 if one fails",
		Long: "Run the executables in /usr/lib/coreos/health.d and /etc/coreos/health.d, sorted by name.\n" +
			"COREOS_SLOT_TRIAL=1 in their environment says that the slot is not proven yet. --mark marks a\n" +
			"healthy slot good. If a slot on trial is not healthy and the other slot is proven, --mark\n" +
			"restarts the machine. Checks that do not end in their time, and checks of a slot on trial\n" +
			"without another one, are run again until --patience has passed.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			if mark {
				return m.Mark(command.Context(), limit, patience, command.OutOrStdout(), command.ErrOrStderr())
			}
			return check(command.Context(), m, limit, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	command.Flags().BoolVar(&mark, "mark", false, "mark the slot good or restart, as the result says")
	command.Flags().DurationVar(&limit, "timeout", 2*time.Minute, "time limit of each check")
	command.Flags().DurationVar(&patience, "patience", 15*time.Minute, "for how long --mark runs them again")
	return command
}

func check(ctx context.Context, m *booted.Machine, limit time.Duration, out, problems io.Writer) error {
	failed, err := m.Checks(ctx, limit)
	if err != nil {
		return err
	}
	booted.Report(failed, problems)
	if len(failed) > 0 {
		return booted.ErrUnhealthy
	}
	_, err = fmt.Fprintln(out, "healthy")
	return err
}

func deadlineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "deadline",
		Short:  "Restart if the running slot is on trial and still not proven (run by slot-deadline.timer)",
		Args:   program.NoArgs,
		Hidden: true,
		RunE: func(command *cobra.Command, _ []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			return m.Deadline(command.OutOrStdout())
		},
	}
}
