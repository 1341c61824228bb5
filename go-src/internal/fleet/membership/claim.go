package membership

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// predecessor returns the machine's record that etcd has from before a restart of the machine,
// or an empty one. It waits until nobody renews the record's lease. If somebody does, two
// machines have the same ID, and predecessor fails. The member asks for its lease only after
// that, because the wait would take a part of the lease's time.
func (m *Member) predecessor(ctx context.Context) (*mvccpb.KeyValue, error) {
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	answer, err := m.Store.Get(request, m.Store.Machine(m.ID))
	if err != nil {
		return nil, fmt.Errorf("the record of machine %s cannot be read: %w", m.ID, err)
	}
	if len(answer.Kvs) == 0 {
		return &mvccpb.KeyValue{}, nil
	}
	record := answer.Kvs[0]
	is, err := store.Decode[store.Machine](record.Value)
	if err == nil && is.Boot != m.Describe().Boot {
		if err := m.waitAbandoned(ctx, clientv3.LeaseID(record.Lease), is); err != nil {
			return nil, err
		}
	}
	return record, nil
}

// waitAbandoned waits until a lease was not renewed for longer than its owner would wait. It
// fails if the lease is renewed.
func (m *Member) waitAbandoned(ctx context.Context, lease clientv3.LeaseID, is store.Machine) error {
	last := time.Duration(-1)
	for {
		request, stop := context.WithTimeout(ctx, requestTime)
		answer, err := m.Store.TimeToLive(request, lease)
		stop()
		if err != nil {
			return fmt.Errorf("checking whether another machine has the ID %s: %w", m.ID, err)
		}
		left, all := time.Duration(answer.TTL)*time.Second, time.Duration(answer.GrantedTTL)*time.Second
		switch {
		case left <= 0 || left < all-all/3-2*time.Second:
			return nil
		case last >= 0 && left > last:
			return fmt.Errorf("another machine with the ID %s is in the cluster, at %q: every machine needs an ID of its own in /etc/machine-id", m.ID, is.PublicIP)
		}
		last = left
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// claim puts the machine's record on a lease, in place of the record before, and revokes the
// lease of that one.
func (m *Member) claim(ctx context.Context, lease clientv3.LeaseID, before *mvccpb.KeyValue) error {
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	unchanged := clientv3.Compare(clientv3.ModRevision(m.Store.Machine(m.ID)), "=", before.ModRevision)
	answer, err := m.Store.Txn(request).If(unchanged).Then(m.record(lease)).Commit()
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	if !answer.Succeeded {
		return fmt.Errorf("the record of machine %s changed while the machine was joining", m.ID)
	}
	if before.Lease != 0 {
		if err := Revoke(context.WithoutCancel(ctx), m.Store, clientv3.LeaseID(before.Lease)); err != nil {
			slog.Debug("a lease is left to end by itself", "error", err)
		}
	}
	return nil
}
