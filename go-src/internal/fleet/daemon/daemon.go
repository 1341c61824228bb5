package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"coreos/internal/etcd/conn"
	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/api"
	"coreos/internal/fleet/leader"
	fleetregistry "coreos/internal/fleet/registry"
	fleetstore "coreos/internal/fleet/store"
	"coreos/internal/fleet/unitmanager"
	"coreos/internal/host/hostid"
	"coreos/internal/host/metrics"
)

// stateDirectory has what the daemon knows and systemd does not; it outlives the daemon, but
// not the boot.
const stateDirectory = "/run/fleet"

// Run is the daemon, until the context ends. Units go on running then.
// On the listeners it serves the API; to the writers it writes the state.
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
	store := fleetstore.New(etcd, s.KeyPrefix)
	registry := fleetregistry.New(store)
	defer registry.Close()
	n := &Node{
		Store: store, ID: id, Systemd: systemd, Describe: func() fleetstore.Machine { return Describe(s) }, TTL: s.TTL,
		LeaseFile: leaseFile, NeverLeads: s.NeverLeads, KeepUnits: s.KeepUnits,
		NoLeader: conn.NewQuorum(etcd).Lost,
		Metrics:  NewMetrics(), Leader: leader.NewMetrics(), Agent: agent.NewMetrics(),
	}
	measured, err := metrics.Serve(ctx, s.MetricsAddr, slices.Concat(n.Metrics.Collectors(), n.Leader.Collectors(), n.Agent.Collectors())...)
	if err != nil {
		return err
	}
	defer func() { stop(); measured() }()
	served, err := serve(ctx, listeners, registry, s, n.Metrics)
	defer func() { stop(); served() }()
	if err != nil {
		return err
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case w := <-dump:
				if err := writeState(ctx, w, registry); err != nil {
					slog.Warn("the state could not be written", "error", err)
				}
			}
		}
	}()
	if err := n.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// dumpTime bounds the reading of what is written on a signal.
const dumpTime = 10 * time.Second

// writeState writes what is known of the cluster, as JSON.
func writeState(ctx context.Context, w io.Writer, cluster api.Cluster) error {
	ctx, stop := context.WithTimeout(ctx, dumpTime)
	defer stop()
	machines, err := cluster.Machines(ctx)
	if err != nil {
		return err
	}
	units, err := cluster.Units(ctx)
	if err != nil {
		return err
	}
	states, err := cluster.States(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(map[string]any{"machines": machines, "units": units, "states": states})
}
