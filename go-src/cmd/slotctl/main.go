// Command slotctl shows and changes which slot boots, and decides whether the
// running one is good.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/disk"
	"coreos/internal/health"
	"coreos/internal/slot"
)

// errUnhealthy ends "slotctl check" with status 1 after the details were printed.
var errUnhealthy = errors.New("this machine is not healthy")

func main() {
	root := &cobra.Command{
		Use:   "slotctl",
		Short: "Show and choose the slot that boots",
		Long: "A machine has two slots, A and B, each with a whole system. The boot loader starts\n" +
			"the first of the order that has tries left. A healthy machine gives its slot all\n" +
			"tries back (slotctl check --mark); one that fails falls over to the other slot.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(statusCommand(), nextCommand(), goodCommand(), badCommand(), checkCommand(), deadlineCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "slotctl:", err)
		os.Exit(1)
	}
}

// machine is the running slot and its disk's environment block.
type machine struct {
	disk    disk.Disk
	running slot.Name
}

func open() (machine, error) {
	running, name, err := slot.Running()
	if err != nil {
		return machine{}, err
	}
	disks, err := disk.List("/sys")
	if err != nil {
		return machine{}, err
	}
	for _, d := range disks {
		if d.Name == name {
			return machine{d, running}, nil
		}
	}
	return machine{}, fmt.Errorf("the disk that the system was booted from, %s, is gone", name)
}

func (m machine) store(f func(slot.Store) error) error {
	path, err := m.disk.Path(disk.EFISystemLabel)
	if err != nil {
		return err
	}
	return slot.OnPartition(path, f)
}

func (m machine) states() (states slot.States, err error) {
	err = m.store(func(s slot.Store) error {
		states, err = slot.Load(s)
		return err
	})
	return states, err
}

func statusCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show both slots: version, tries, whether proven, root hash of /usr",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			m, err := open()
			if err != nil {
				return err
			}
			states, err := m.states()
			if err != nil {
				return err
			}
			reports := slot.Inspect(states, m.running, func(n slot.Name) (io.ReadCloser, error) {
				path, err := m.disk.Path(n.BootLabel())
				if err != nil {
					return nil, err
				}
				return slot.OpenDevice(path)
			})
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
			m, err := open()
			if err != nil {
				return err
			}
			return m.store(func(s slot.Store) error { return apply(s, name) })
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
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "check",
		Short: "Run the health checks; exit status 1 when one fails",
		Long: "Run the executables of /usr/lib/coreos/health.d and /etc/coreos/health.d in the order\n" +
			"of their names. COREOS_SLOT_TRIAL=1 in their environment says that the slot has not\n" +
			"been proven yet. With --mark, a healthy slot is marked good; an unhealthy one on\n" +
			"trial restarts the machine if the other slot is a proven one.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return check(command.Context(), mark, timeout) },
	}
	command.Flags().BoolVar(&mark, "mark", false, "act on the result: mark the slot good, or restart")
	command.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "time limit of each check")
	return command
}

func check(ctx context.Context, mark bool, timeout time.Duration) error {
	m, err := open()
	if err != nil {
		return err
	}
	states, err := m.states()
	if err != nil {
		return err
	}
	trial := "0"
	if !states.Slots[m.running].OK {
		trial = "1"
	}
	paths, err := health.Checks(health.Dirs)
	if err != nil {
		return err
	}
	results := health.Run(ctx, paths, timeout, "COREOS_SLOT_TRIAL="+trial)
	failed := health.Failed(results)
	for _, r := range failed {
		fmt.Fprintf(os.Stderr, "health check %s failed: %v\n%s\n", r.Name, r.Err, r.Output)
	}
	if mark {
		return m.act(states, failed)
	}
	if len(failed) > 0 {
		return errUnhealthy
	}
	fmt.Printf("healthy: %d checks\n", len(results))
	return nil
}

// act does what follows from the checks for the running slot.
func (m machine) act(states slot.States, failed []health.Result) error {
	var names []string
	for _, r := range failed {
		names = append(names, r.Name)
	}
	switch states.Decide(m.running, len(failed) == 0) {
	case slot.Proven:
		fmt.Printf("slot %s is good\n", m.running)
		return m.store(func(s slot.Store) error { return slot.MarkGood(s, m.running) })
	case slot.Retry:
		fmt.Fprintf(os.Stderr, "slot %s is on trial and unhealthy: restarting, %d tries left\n", m.running, states.Slots[m.running].Tries)
		return errors.Join(m.note(names), reboot())
	default:
		fmt.Fprintf(os.Stderr, "slot %s is unhealthy; it stays up, since a restart would not help\n", m.running)
		return errors.Join(m.note(names), errUnhealthy)
	}
}

func (m machine) note(failed []string) error {
	return m.store(func(s slot.Store) error { return slot.Note(s, m.running, slot.Reason(failed)) })
}

func deadlineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "deadline",
		Short:  "Restart if the running slot is on trial and still not proven (run by slot-deadline.timer)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			m, err := open()
			if err != nil {
				return err
			}
			states, err := m.states()
			if err != nil {
				return err
			}
			if states.Decide(m.running, states.Slots[m.running].OK) != slot.Retry {
				return nil
			}
			fmt.Fprintf(os.Stderr, "slot %s did not become healthy in time: restarting\n", m.running)
			return errors.Join(m.note([]string{"deadline"}), reboot())
		},
	}
}
