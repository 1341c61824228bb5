package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/etcd/check"
	"coreos/internal/etcd/defrag"
	"coreos/internal/etcd/unit"
)

func (o *options) defragCommand() *cobra.Command {
	d := new(defrag.Defrag)
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "defrag",
		Short: "Free the unused space of the local member's database",
		Long: fmt.Sprintf("Defragment the local member if more than %d MB and %d %% of its database are unused, all\n"+
			"members are healthy, and no other member is being defragmented. The member does not answer\n"+
			"meanwhile. A leader first hands the leadership to another member.",
			defrag.WorthBytes>>20, int(100*defrag.WorthShare)),
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if _, err := o.local(command); err != nil {
				return err
			}
			d.Etcd, d.Data, d.Say = o.etcd, o.data, sayTo(command.OutOrStdout())
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
			return d.Run(ctx)
		},
	}
	flags := command.Flags()
	o.etcdFlags(flags)
	flags.DurationVar(&d.Wait, "wait", 30*time.Minute, "how long to wait until no other member is being defragmented")
	flags.DurationVar(&timeout, "timeout", time.Hour, "time limit of the whole command")
	flags.BoolVar(&d.Force, "force", false, "defragment even if little space is unused")
	flags.BoolVar(&d.WithoutLock, "without-lock", false, "do not take the lock, because a database at its quota refuses it; run this on one machine after the other")
	return command
}

func (o *options) checkCommand() *cobra.Command {
	var notify bool
	command := &cobra.Command{
		Use:   "check",
		Short: "Warn of what will stop etcd",
		Long: "Print a line for each finding, the worst first. Exit status: 0 if there is no finding, 1 if the\n" +
			"local member does not answer, 3 for warnings and alarms.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			env, err := o.local(command)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), time.Minute)
			defer cancel()
			facts, err := check.Collect(ctx, o.etcd, env, o.data, time.Now())
			if err != nil {
				if notify {
					tellSystemd(ctx, command.ErrOrStderr(), check.Warning.String()+": "+err.Error())
				}
				return err
			}
			findings := check.Decide(facts)
			for _, f := range findings {
				fmt.Fprintln(command.OutOrStdout(), f)
			}
			if notify {
				tellSystemd(ctx, command.ErrOrStderr(), check.Status(findings))
			}
			if findings[0].Level > check.OK {
				return exit.Status(3)
			}
			return nil
		},
	}
	o.etcdFlags(command.Flags())
	command.Flags().BoolVar(&notify, "notify", false, "show the worst finding in systemctl status "+unit.Name)
	return command
}

// tellSystemd shows a status in systemctl status. An error is only a warning, because the
// findings have been printed.
func tellSystemd(ctx context.Context, warnings io.Writer, status string) {
	service, err := unit.Open(ctx)
	if err == nil {
		defer service.Close()
		var pid int
		if pid, err = service.MainPID(ctx); err == nil {
			err = unit.SetStatus(unit.NotifySocket, pid, status)
		}
	}
	if err != nil && !errors.Is(err, unit.ErrNotRunning) {
		fmt.Fprintln(warnings, "etcd-memberctl: systemctl status does not show this:", err)
	}
}
