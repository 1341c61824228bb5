package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/host/hostid"
	"coreos/internal/host/logind"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/bus"
)

// client is locksmithctl.
func client() *cobra.Command {
	o := new(options)
	command := &cobra.Command{
		Use:     "locksmithctl",
		Version: version,
		Short:   "Manage the cluster wide reboot lock",
		Long: "Manage the cluster wide reboot lock.\n\nFlags may be written with one dash. Each flag has an environment variable: LOCKSMITHCTL_GROUP\n" +
			"is that of --group.\n\nExit status: 0 on success, 1 on an error, 2 for a wrong command line.",
	}
	o.flags(command, "LOCKSMITHCTL")
	command.AddCommand(o.statusCommand(), o.lockCommand(), o.unlockCommand(), o.stealCommand(), o.setMaxCommand(), o.rebootCommand(), sendNeedReboot())
	return command
}

// onMachine runs f with the lock and a machine id: the argument, or else this machine's.
// Its errors begin with what.
func (o *options) onMachine(what string, f func(ctx context.Context, l *lock.Lock, id string) error) func(*cobra.Command, []string) error {
	return o.on(func(ctx context.Context, l *lock.Lock, args []string) error {
		id, err := machine(args)
		if err != nil {
			return err
		}
		return wrap(what, f(ctx, l, id))
	})
}

func machine(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return hostid.Machine()
}

func (o *options) lockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lock [machine-id]",
		Short: "Lock this machine or a given machine-id for reboot",
		Long: "Take the lock for a machine by hand, so that other machines do not restart. The daemon does\n" +
			"not release this lock: use unlock.",
		Args: cobra.MaximumNArgs(1),
		RunE: o.onMachine("Error locking", func(ctx context.Context, l *lock.Lock, id string) error {
			first := true // a second attempt may find its own lock, if the answer to the first was lost
			_, err := l.Change(ctx, func(s *semaphore.Semaphore) error {
				h, held := s.Holds(id)
				if held && (first || h.Why != semaphore.ByHand) {
					return semaphore.ErrExist
				}
				first = false
				return s.Lock(id, semaphore.Holder{Why: semaphore.ByHand, Since: time.Now().UTC().Truncate(time.Second)})
			})
			return err
		}),
	}
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (o *options) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock [machine-id]",
		Short: "Unlock this machine or a given machine-id for reboot",
		Long:  "Release the lock held by a machine, whatever the machine is doing.",
		Args:  cobra.MaximumNArgs(1),
		RunE: o.onMachine("Error unlocking", func(ctx context.Context, l *lock.Lock, id string) error {
			_, err := l.Change(ctx, func(s *semaphore.Semaphore) error { return s.Unlock(id) })
			return err
		}),
	}
}

func (o *options) stealCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "steal machine-id",
		Short: "Take the lock from a machine that is gone",
		Long: "Release the lock held by a machine that no longer answers: its daemon has been silent for a\n" +
			"minute. A machine keeps the lock if a version failed on it or if it was locked by hand: use\nunlock.",
		Args: cobra.ExactArgs(1),
		RunE: o.onMachine("Error stealing", func(ctx context.Context, l *lock.Lock, id string) error {
			machines, err := l.Machines(ctx)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(machines, func(m lock.Machine) bool { return m.ID == id }) {
				return fmt.Errorf("machine %s answers; to release its lock anyway use unlock", id)
			}
			_, err = l.Change(ctx, func(s *semaphore.Semaphore) error {
				switch h, _ := s.Holds(id); {
				case h.Failed != "":
					return fmt.Errorf("version %s failed on that machine: %s; to let other machines try it use unlock", h.FailedVersion, h.Failed)
				case h.Why == semaphore.ByHand:
					return errors.New("the machine was locked by hand; use unlock")
				}
				return s.Unlock(id)
			})
			return err
		}),
	}
}

func (o *options) setMaxCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set-max number",
		Short: "Set the maximum number of lock holders",
		Long: "Set how many machines of the group may restart at the same time; 0 allows none. Machines that\n" +
			"hold the lock keep it.",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			limit, err := strconv.Atoi(args[0])
			if err != nil {
				return exit.Usagef("invalid maximum value: %.40s", args[0])
			}
			return o.on(func(ctx context.Context, l *lock.Lock, _ []string) error {
				old := 0
				s, err := l.Change(ctx, func(s *semaphore.Semaphore) (err error) {
					old, err = s.SetMax(limit)
					return err
				})
				if err != nil {
					return wrap("Error setting value", err)
				}
				_, err = fmt.Fprintf(command.OutOrStdout(), "Old-Max: %d\nMax: %d\n", old, s.Max)
				return err
			})(command, args)
		},
	}
}

func (o *options) rebootCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reboot",
		Short: "Reboot honoring reboot locks",
		Long: "Restart this machine now, if the lock is free and nothing inhibits a restart. The daemon\n" +
			"releases the lock when the machine is up and healthy.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if os.Geteuid() != 0 {
				return errors.New("must be root to initiate a reboot")
			}
			return o.on(reboot)(command, args)
		},
	}
}

func reboot(ctx context.Context, l *lock.Lock, _ []string) error {
	id, err := hostid.Machine()
	if err != nil {
		return err
	}
	systemBus, err := bus.Connect()
	if err != nil {
		return err
	}
	defer systemBus.Close()
	holder, err := holder()
	if err != nil {
		return err
	}
	if _, err := l.Change(ctx, func(s *semaphore.Semaphore) error { return s.Lock(id, holder) }); err != nil {
		return wrap("Error locking", err)
	}
	if err := logind.New(systemBus).Reboot(ctx, false); err != nil {
		_, unlock := l.Change(ctx, func(s *semaphore.Semaphore) error { return s.Unlock(id) })
		return errors.Join(err, unlock)
	}
	return nil
}

// holder describes this machine as the holder for a restart by hand.
func holder() (semaphore.Holder, error) {
	boot, err := hostid.Boot()
	if err != nil {
		return semaphore.Holder{}, err
	}
	host, err := os.Hostname()
	return semaphore.Holder{Host: host, Why: semaphore.Reboot, Since: time.Now().UTC().Truncate(time.Second), BootID: boot}, err
}

func sendNeedReboot() *cobra.Command {
	return &cobra.Command{
		Use:   "send-need-reboot",
		Short: "Send a 'need reboot' signal, as update-engine does",
		Args:  program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			systemBus, err := bus.Connect()
			if err != nil {
				return err
			}
			defer systemBus.Close()
			return bus.NewClient(systemBus).RequestReboot(command.Context())
		},
	}
}
