package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/settings"
	"coreos/internal/etcd/snapshot"
	"coreos/internal/etcd/unit"
	"coreos/internal/host/hostid"
)

func (o *options) snapshotCommand() *cobra.Command {
	store := snapshot.Store{}
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "snapshot",
		Short: "Take a snapshot of the local member, and keep only the newest",
		Long: "Take a snapshot and verify it. Then delete the oldest snapshots, by their names\n" +
			"etcd-TIME-REVISION.db, until --keep are left. An incomplete snapshot never has such a name.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if _, err := o.local(command); err != nil {
				return err
			}
			client, err := conn.Dial(o.etcd)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
			say := sayTo(command.OutOrStdout())
			taken, pruned, err := store.Take(ctx, client, time.Now())
			if taken != nil {
				say("%s: revision %d, %d keys, %.1f MB, verified", taken.Path, taken.Revision, taken.Keys, float64(taken.Size)/(1<<20))
			}
			for _, name := range pruned {
				say("deleted %s", name)
			}
			return err
		},
	}
	flags := command.Flags()
	o.etcdFlags(flags)
	flags.StringVar(&store.Dir, "dir", snapshot.Dir, "`DIRECTORY` of the snapshots")
	flags.IntVar(&store.Keep, "keep", 7, "`NUMBER` of snapshots to keep")
	flags.DurationVar(&timeout, "timeout", time.Hour, "time limit")
	return command
}

// restore are the flags of the command.
type restore struct {
	snapshot.Restoration
	yes, noStart bool
	say          func(format string, args ...any)
}

func (o *options) restoreCommand() *cobra.Command {
	var r restore
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "Start a new cluster on this machine with the data of a snapshot",
		Long: "Verify the snapshot, stop etcd-member.service, move its data aside, restore the snapshot, and\n" +
			"start the service. This machine is then the only member of a new cluster. Everything written\n" +
			"after the snapshot is lost. Other machines of the old cluster join one after the other:\n" +
			"etcd-memberctl join --wipe.",
		Args: oneArgument("the file of a snapshot"),
		RunE: func(command *cobra.Command, args []string) error {
			env, err := o.settings(command)
			if err != nil {
				return err
			}
			if err := r.defaults(env); err != nil {
				return err
			}
			r.File, r.Data, r.Now, r.say = args[0], datadir.Dir(o.data), time.Now(), sayTo(command.OutOrStdout())
			ctx, cancel := context.WithTimeout(command.Context(), 10*time.Minute)
			defer cancel()
			if r.noStart {
				return r.run()
			}
			return r.withUnit(ctx, o.etcd)
		},
	}
	flags := command.Flags()
	o.etcdFlags(flags)
	flags.StringVar(&r.Name, "name", "", "`NAME` of this machine as a member (default ETCD_NAME, or the machine id)")
	flags.StringVar(&r.PeerURL, "peer-url", "", "`URL` for peers (default ETCD_INITIAL_ADVERTISE_PEER_URLS, or http://localhost:2380)")
	flags.Uint64Var(&r.Bump, "bump-revision", snapshot.Bump, "`NUMBER` to add to the revision, more than the writes since the snapshot; 0 only if no client watches")
	flags.BoolVar(&r.yes, "yes", false, "stop etcd if it runs")
	flags.BoolVar(&r.noStart, "no-start", false, "neither stop nor start etcd-member.service")
	return command
}

// defaults are the member's settings, and etcd's defaults.
func (r *restore) defaults(env *settings.Settings) error {
	if r.Name == "" {
		r.Name = env.Get("ETCD_NAME")
	}
	if r.Name == "" {
		id, err := hostid.Machine()
		if err != nil {
			return fmt.Errorf("name of this machine: %w; give one with --name", err)
		}
		r.Name = id
	}
	if r.PeerURL == "" {
		r.PeerURL = env.Get("ETCD_INITIAL_ADVERTISE_PEER_URLS")
	}
	if r.PeerURL == "" {
		r.PeerURL = "http://localhost:2380"
	}
	return nil
}

func (r *restore) run() error {
	former, err := r.Run()
	if former != "" {
		r.say("moved the former data to %s: delete them when the cluster works", former)
	}
	if err == nil {
		r.say("restored %s as a new cluster with the one member %s at %s", r.File, r.Name, r.PeerURL)
	}
	return err
}

// withUnit stops etcd, restores, and starts etcd again: if the restoration failed, with
// the data that it had.
func (r *restore) withUnit(ctx context.Context, etcd conn.Config) error {
	// Do not stop etcd for a file that cannot be restored.
	if _, err := snapshot.Verify(r.File); err != nil {
		return err
	}
	service, err := unit.Open(ctx)
	if err != nil {
		return err
	}
	defer service.Close()
	active, err := service.Active(ctx)
	if err != nil {
		return err
	}
	if active {
		if !r.yes {
			return errors.New("etcd-member.service runs, and everything written after the snapshot would be lost: to stop it and restore use --yes")
		}
		r.say("stopping %s", unit.Name)
		if err := service.Stop(ctx); err != nil {
			return err
		}
	}
	if err := r.run(); err != nil {
		if active {
			err = errors.Join(err, service.Start(ctx))
		}
		return err
	}
	if err := service.Start(ctx); err != nil {
		return err
	}
	return r.waitHealthy(ctx, etcd)
}

// waitHealthy waits until the local member leads its new cluster.
func (r *restore) waitHealthy(ctx context.Context, etcd conn.Config) error {
	var last error
	cluster, err := backoff.Retry(ctx, func() (cluster *member.Cluster, err error) {
		cluster, err = member.Survey(ctx, etcd)
		last = err
		return cluster, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(time.Second)), backoff.WithMaxElapsedTime(0), backoff.WithNotify(member.Waiting(ctx, r.say, "etcd to answer")))
	if err != nil { // the context's
		return fmt.Errorf("etcd was started and does not answer: %w; see journalctl -u %s", last, unit.Name)
	}
	r.say("etcd answers: members %v", cluster.Members)
	return nil
}
