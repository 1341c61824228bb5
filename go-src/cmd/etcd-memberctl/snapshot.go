package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/envfile"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/snapshot"
	etcdunit "coreos/internal/etcd/unit"
	"coreos/internal/host/hostid"
	"coreos/internal/host/pause"
)

func (o *options) snapshotCommand() *cobra.Command {
	store := snapshot.Store{}
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "snapshot",
		Short: "Take a snapshot of the local member, and keep the newest",
		Long: "Takes a snapshot, verifies it, and then deletes the oldest that are too many, by their names\n" +
			"etcd-TIME-REVISION.db. An incomplete snapshot never has such a name.",
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if _, err := o.local(); err != nil {
				return err
			}
			client, err := conn.Dial(o.etcd)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
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
	flags.DurationVar(&timeout, "timeout", time.Hour, "how long it may take")
	return command
}

// restore are the flags of the command.
type restore struct {
	snapshot.Restoration
	yes, noStart bool
}

func (o *options) restoreCommand() *cobra.Command {
	var r restore
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "Begin a new cluster on this machine with the data of a snapshot",
		Long: "Verifies the snapshot, stops etcd-member.service, moves its data aside, puts those of the\n" +
			"snapshot in their place, and starts it: a new cluster, of which this machine is the only\n" +
			"member. What was written after the snapshot is lost. Other machines of the old cluster then\n" +
			"join one after the other: etcd-memberctl join --wipe.",
		Args: oneArgument("the file of a snapshot"),
		RunE: func(command *cobra.Command, args []string) error {
			env, err := o.settings()
			if err != nil {
				return err
			}
			if err := r.defaults(env); err != nil {
				return err
			}
			r.File, r.Data, r.Now = args[0], datadir.Dir(o.data), time.Now()
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
	flags.Uint64Var(&r.Bump, "bump-revision", snapshot.Bump, "`NUMBER` added to the revision, more than was written since the snapshot; 0 only where nobody watches")
	flags.BoolVar(&r.yes, "yes", false, "stop etcd if it runs")
	flags.BoolVar(&r.noStart, "no-start", false, "neither stop nor start etcd-member.service")
	return command
}

// defaults are the member's settings, and those of etcd-member.service.
func (r *restore) defaults(env *envfile.File) error {
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
		say("moved the former data to %s: delete them when all is well", former)
	}
	if err == nil {
		say("restored %s as a new cluster with the one member %s at %s", r.File, r.Name, r.PeerURL)
	}
	return err
}

// withUnit stops etcd, restores, and starts etcd again: if the restoration failed, with
// the data that it had.
func (r *restore) withUnit(ctx context.Context, etcd conn.Config) error {
	// Nothing is stopped for a file that is of no use.
	if _, err := snapshot.Verify(r.File); err != nil {
		return err
	}
	unit, err := etcdunit.Open(ctx)
	if err != nil {
		return err
	}
	defer unit.Close()
	active, err := unit.Active(ctx)
	if err != nil {
		return err
	}
	if active {
		if !r.yes {
			return errors.New("etcd-member.service runs, and what was written since the snapshot will be lost: --yes stops it and restores")
		}
		if err := unit.Stop(ctx); err != nil {
			return err
		}
	}
	if err := r.run(); err != nil {
		if active {
			err = errors.Join(err, unit.Start(ctx))
		}
		return err
	}
	if err := unit.Start(ctx); err != nil {
		return err
	}
	return waitHealthy(ctx, etcd)
}

// waitHealthy waits until the local member leads its new cluster.
func waitHealthy(ctx context.Context, etcd conn.Config) error {
	for {
		cluster, err := member.Survey(ctx, etcd)
		if err == nil {
			say("etcd answers: members %v", cluster.Members)
			return nil
		}
		if !pause.For(ctx, time.Second) {
			return fmt.Errorf("etcd was started and does not answer: %w; see journalctl -u %s", err, etcdunit.Name)
		}
	}
}
