package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/conn"
	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/membership"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitmanager"
)

// daemons are fleet's units, in the order in which they are stopped.
var daemons = []string{"fleet.socket", "fleet.service", "fleet-guard.service"}

// Leave takes this machine out of the cluster. It stops the daemons, stops and removes all units
// of the cluster, and revokes the lease, so that other machines get the units at once.
func Leave(ctx context.Context, s Settings, say func(format string, arguments ...any)) error {
	systemd, err := unitmanager.New(ctx, s.Directory, marks)
	if err != nil {
		return err
	}
	for _, name := range daemons {
		if err := systemd.StopForeign(ctx, name); err != nil {
			return fmt.Errorf("leaving the cluster: %s: %w", name, err)
		}
	}
	if err := stopAll(ctx, systemd, say); err != nil {
		return fmt.Errorf("leaving the cluster, which gives the units to other machines when the lease ends: %w", err)
	}
	lease, until := membership.Recall(leaseFile)
	if lease == 0 {
		return nil
	}
	if err := revoke(ctx, s, lease); err != nil {
		return fmt.Errorf("the machine has left, but its lease could not be revoked: its units go to other machines in %s: %w",
			max(0, until-membership.Boottime()).Round(time.Second), err)
	}
	return os.Remove(leaseFile)
}

// stopAll stops and removes all units of the cluster on this machine.
func stopAll(ctx context.Context, systemd agent.Systemd, say func(string, ...any)) error {
	units, err := systemd.Units(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var failed []error
	var all sync.WaitGroup
	for name := range units {
		all.Go(func() {
			err := systemd.Stop(ctx, name)
			if err == nil {
				err = systemd.Remove(ctx, name)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", name, err))
				return
			}
			say("Unit %s has left", name)
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

func revoke(ctx context.Context, s Settings, lease clientv3.LeaseID) error {
	etcd, err := conn.Dial(s.Etcd)
	if err != nil {
		return err
	}
	defer etcd.Close()
	return membership.Revoke(ctx, store.New(etcd, s.KeyPrefix), lease)
}
