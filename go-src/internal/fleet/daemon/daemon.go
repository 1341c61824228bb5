package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/daemon"

	"coreos/internal/etcd/conn"
	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/leader"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitmanager"
	"coreos/internal/host/hostid"
	"coreos/internal/host/metrics"
)

// stateDirectory has what the daemon must remember and systemd does not know. It is on a file
// system that outlives the daemon, but not the boot.
const stateDirectory = "/run/fleet"

// Run is the daemon. It runs until the context ends; units go on running after that. It serves
// the API on the listeners, and writes the state of the cluster to each writer from dump.
func Run(ctx context.Context, s Settings, listeners []net.Listener, dump <-chan io.Writer) error {
	id, err := hostid.Machine()
	if err != nil {
		return fmt.Errorf("the ID of this machine: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	etcd, err := conn.Dial(s.Etcd)
	if err != nil {
		return err
	}
	defer etcd.Close()
	systemd, err := unitmanager.New(ctx, s.Directory, marks)
	if err != nil {
		return err
	}
	records := store.New(etcd, s.KeyPrefix)
	cluster := registry.New(records)
	defer cluster.Close()
	n := &Node{
		Store: records, ID: id, Systemd: systemd, Describe: func() store.Machine { return Describe(s) }, TTL: s.TTL,
		LeaseFile: leaseFile, NeverLeads: s.NeverLeads, KeepUnits: s.KeepUnits,
		NoLeader: conn.NewQuorum(etcd).Lost,
		Metrics:  NewMetrics(), Leader: leader.NewMetrics(), Agent: agent.NewMetrics(),
	}
	measured, err := metrics.Serve(ctx, s.MetricsAddr, slices.Concat(n.Metrics.Collectors(), n.Leader.Collectors(), n.Agent.Collectors())...)
	if err != nil {
		return err
	}
	defer func() { stop(); measured() }()
	served, err := serve(ctx, listeners, cluster, systemd.Foreign, s, n.Metrics)
	defer func() { stop(); served() }()
	if err != nil {
		return err
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	go dumpStates(ctx, dump, cluster)
	if err := n.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
