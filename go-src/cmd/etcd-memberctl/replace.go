package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/member"
	etcdunit "coreos/internal/etcd/unit"
)

// replace are the flags of the commands that make this machine a member.
type replace struct {
	member.Replacement
	noStart bool
	timeout time.Duration
}

func (o *options) replaceCommand() *cobra.Command {
	r := new(replace)
	command := &cobra.Command{
		Use:   "replace DEAD-MEMBER --endpoint URL...",
		Short: "Put this machine in the place of a dead member",
		Long: "Run on the new machine: removes the member with that name or id, adds this machine, writes\n" +
			"its settings, starts etcd-member.service, and gives the machine its vote when it has caught\n" +
			"up. Nothing is changed if the member answers, or the cluster has no quorum without it. After\n" +
			"an interruption run it again.",
		Args: oneArgument("the dead member's name or id"),
		RunE: func(command *cobra.Command, args []string) error {
			r.Dead = args[0]
			return r.run(command, o)
		},
	}
	r.flags(o, command)
	command.Flags().BoolVar(&r.Force, "force", false, "remove the member even if it answers")
	return command
}

func (o *options) joinCommand() *cobra.Command {
	r := new(replace)
	command := &cobra.Command{
		Use:   "join --endpoint URL...",
		Short: "Make this machine one more member of a cluster",
		Long: "Run on the new machine: as replace, but nobody is removed. For a cluster that grows, and for\n" +
			"one that was restored.",
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return r.run(command, o) },
	}
	r.flags(o, command)
	return command
}

func (r *replace) flags(o *options, command *cobra.Command) {
	flags := command.Flags()
	o.etcdFlags(flags)
	flags.StringVar(&r.Name, "name", "", "`NAME` of this machine as a member (default ETCD_NAME)")
	flags.StringVar(&r.PeerURL, "peer-url", "", "`URL` at which the others find this machine (default ETCD_INITIAL_ADVERTISE_PEER_URLS)")
	flags.BoolVar(&r.Wipe, "wipe", false, "move data of a former life of this machine aside")
	flags.BoolVar(&r.noStart, "no-start", false, "leave the start of etcd to others; run this again then")
	flags.DurationVar(&r.timeout, "timeout", 30*time.Minute, "how long this machine may take to catch up")
}

func (r *replace) run(command *cobra.Command, o *options) error {
	if !command.Flags().Changed("endpoint") {
		return usageError{errors.New("give the URLs of members that live with --endpoint")}
	}
	if _, err := o.settings(); err != nil {
		return err
	}
	r.Etcd, r.EnvFile, r.Data, r.Now, r.Say = o.etcd, o.envFile, datadir.Dir(o.data), time.Now, say
	ctx, cancel := context.WithTimeout(command.Context(), r.timeout)
	defer cancel()
	if r.noStart {
		return r.Run(ctx)
	}
	unit, err := etcdunit.Open(ctx)
	if err != nil {
		return err
	}
	defer unit.Close()
	r.Unit = unit
	return r.Run(ctx)
}
