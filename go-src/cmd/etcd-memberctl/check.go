package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/etcd/check"
	"coreos/internal/etcd/defrag"
	etcdunit "coreos/internal/etcd/unit"
)

func (o *options) defragCommand() *cobra.Command {
	d := &defrag.Defrag{Say: say}
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "defrag",
		Short: "Give unused space of the local member's database back",
		Long: fmt.Sprintf("Defragments the local member if more than %d MB and %d %% of its database are unused, all\n"+
			"members are well, and no other member is being defragmented. It answers nothing meanwhile.\n"+
			"A leader gives its office to another first.",
			defrag.WorthBytes>>20, int(100*defrag.WorthShare)),
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if _, err := o.local(); err != nil {
				return err
			}
			d.Etcd, d.Data = o.etcd, o.data
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
			return d.Run(ctx)
		},
	}
	flags := command.Flags()
	o.etcdFlags(flags)
	flags.DurationVar(&d.Wait, "wait", 30*time.Minute, "how long to wait for other members")
	flags.DurationVar(&timeout, "timeout", time.Hour, "how long all of it may take")
	flags.BoolVar(&d.Force, "force", false, "even if it is not worth it")
	flags.BoolVar(&d.WithoutLock, "without-lock", false, "for a database that has reached its quota; on one machine after the other")
	return command
}

func (o *options) checkCommand() *cobra.Command {
	var notify bool
	command := &cobra.Command{
		Use:   "check",
		Short: "Tell what will stop etcd before it does",
		Long: "Prints a line for each finding, the worst first. Exit status: 0 if all is well, 1 if the local\n" +
			"member does not answer, 3 for warnings and alarms.",
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			env, err := o.local()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), time.Minute)
			defer cancel()
			facts, err := check.Collect(ctx, o.etcd, env, o.data, time.Now())
			if err != nil {
				if notify {
					tellSystemd(ctx, check.Warning.String()+": "+err.Error())
				}
				return err
			}
			findings := check.Decide(facts)
			for _, f := range findings {
				fmt.Println(f)
			}
			if notify {
				tellSystemd(ctx, check.Status(findings))
			}
			if findings[0].Level > check.OK {
				return exitStatus(3)
			}
			return nil
		},
	}
	o.etcdFlags(command.Flags())
	command.Flags().BoolVar(&notify, "notify", false, "show the worst finding in systemctl status "+etcdunit.Name)
	return command
}

// tellSystemd is no reason to fail: the findings were printed.
func tellSystemd(ctx context.Context, status string) {
	unit, err := etcdunit.Open(ctx)
	if err == nil {
		defer unit.Close()
		var pid int
		if pid, err = unit.MainPID(ctx); err == nil {
			err = etcdunit.SetStatus(etcdunit.NotifySocket, pid, status)
		}
	}
	if err != nil && !errors.Is(err, etcdunit.ErrNotRunning) {
		fmt.Fprintln(os.Stderr, "etcd-memberctl: not shown by systemctl:", err)
	}
}
