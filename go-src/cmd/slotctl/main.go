// Command slotctl shows and changes which slot boots, and decides whether the
// running one is good.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/boot/booted"
	"coreos/internal/boot/slot"
)

func main() {
	root := &cobra.Command{
		Use:   "slotctl",
		Short: "Show and choose the slot that boots",
		Long: "A machine has two slots, A and B, each with a whole system. The boot loader starts\n" +
			"the first of the order that has tries left. A healthy machine gives its slot all\n" +
			"tries back (slotctl check --mark); one that fails falls over to the other slot.\n\n" +
			"Exit status: 0 when all went well, 1 otherwise.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(statusCommand(), nextCommand(), goodCommand(), badCommand(), checkCommand(), deadlineCommand())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "slotctl:", err)
		os.Exit(1)
	}
}

func statusCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show both slots: version, tries, whether proven, root hash of /usr",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			reports, err := m.Slots()
			if err != nil {
				return err
			}
			if asJSON {
				return slot.WriteJSON(os.Stdout, reports)
			}
			return slot.WriteTable(os.Stdout, reports)
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
				return err
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
	var limit time.Duration
	command := &cobra.Command{
		Use:   "check",
		Short: "Run the health checks; exit status 1 when one fails",
		Long: "Run the executables of /usr/lib/coreos/health.d and /etc/coreos/health.d in the order\n" +
			"of their names. COREOS_SLOT_TRIAL=1 in their environment says that the slot has not\n" +
			"been proven yet. With --mark, a healthy slot is marked good; an unhealthy one on\n" +
			"trial restarts the machine if the other slot is a proven one.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return check(command.Context(), limit, mark) },
	}
	command.Flags().BoolVar(&mark, "mark", false, "act on the result: mark the slot good, or restart")
	command.Flags().DurationVar(&limit, "timeout", 2*time.Minute, "time limit of each check")
	return command
}

func check(ctx context.Context, limit time.Duration, mark bool) error {
	m, err := booted.Open()
	if err != nil {
		return err
	}
	failed, err := m.Check(ctx, limit, os.Stderr)
	switch {
	case err != nil:
		return err
	case mark:
		return m.Judge(failed, os.Stdout)
	case len(failed) > 0:
		return booted.ErrUnhealthy
	}
	fmt.Println("healthy")
	return nil
}

func deadlineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "deadline",
		Short:  "Restart if the running slot is on trial and still not proven (run by slot-deadline.timer)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			return m.Deadline(os.Stdout)
		},
	}
}
