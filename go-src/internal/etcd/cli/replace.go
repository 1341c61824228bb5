package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/unit"
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
		Short: "Replace a dead member with this machine",
		Long: "Run this on the new machine. It removes the member with that name or id, adds this machine,\n" +
			"writes the settings, starts etcd-member.service, and makes the machine a voting member when it\n" +
			"has caught up. It changes nothing if the member answers, or if the cluster has no quorum\n" +
			"without it. Run it again after an interruption.",
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
		Long: "Run this on the new machine. It works like replace but removes no member: for a cluster that\n" +
			"grows, and for one that was restored.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return r.run(command, o) },
	}
	r.flags(o, command)
	return command
}

func (r *replace) flags(o *options, command *cobra.Command) {
	flags := command.Flags()
	o.etcdFlags(flags)
	flags.StringVar(&r.Name, "name", "", "`NAME` of this machine as a member (default ETCD_NAME)")
	flags.StringVar(&r.PeerURL, "peer-url", "", "`URL` at which other members reach this machine (default ETCD_INITIAL_ADVERTISE_PEER_URLS)")
	flags.BoolVar(&r.Wipe, "wipe", false, "move data of an earlier membership of this machine aside")
	flags.BoolVar(&r.noStart, "no-start", false, "do not start etcd; start it yourself, then run this again")
	flags.DurationVar(&r.timeout, "timeout", 30*time.Minute, "how long this machine may take to catch up")
}

func (r *replace) run(command *cobra.Command, o *options) error {
	if !command.Flags().Changed("endpoint") {
		return exit.Usage(errors.New("give the URLs of members that are alive with --endpoint"))
	}
	env, err := o.settings(command)
	if err != nil {
		return err
	}
	r.Etcd, r.Settings, r.Data, r.Now, r.Say = o.etcd, env, datadir.Dir(o.data), time.Now, sayTo(command.OutOrStdout())
	ctx, cancel := context.WithTimeout(command.Context(), r.timeout)
	defer cancel()
	if r.noStart {
		return r.Run(ctx)
	}
	service, err := unit.Open(ctx)
	if err != nil {
		return err
	}
	defer service.Close()
	r.Unit = service
	return r.Run(ctx)
}
