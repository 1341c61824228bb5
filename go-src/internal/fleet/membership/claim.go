package membership

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// predecessor is the machine's record that is there already, from before it started anew;
// an empty one if there is none. It waits until nobody attends to it, and fails if
// somebody does: then there are two machines with one ID. All that comes before the lease
// is asked for, of which waiting would take a part.
func (p *Presence) predecessor(ctx context.Context) (*mvccpb.KeyValue, error) {
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	answer, err := p.Store.Get(request, p.Store.Machine(p.ID))
	if err != nil {
		return nil, fmt.Errorf("the record of machine %s cannot be read: %w", p.ID, err)
	}
	if len(answer.Kvs) == 0 {
		return &mvccpb.KeyValue{}, nil
	}
	record := answer.Kvs[0]
	is, err := store.Decode[store.Machine](record.Value)
	if err == nil && is.Boot != p.Describe().Boot {
		if err := p.unattended(ctx, clientv3.LeaseID(record.Lease), is); err != nil {
			return nil, err
		}
	}
	return record, nil
}

// claim puts the machine's record on a lease, in place of the one before.
func (p *Presence) claim(ctx context.Context, lease clientv3.LeaseID, before *mvccpb.KeyValue) error {
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	unchanged := clientv3.Compare(clientv3.ModRevision(p.Store.Machine(p.ID)), "=", before.ModRevision)
	answer, err := p.Store.Txn(request).If(unchanged).Then(p.record(lease)).Commit()
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	if !answer.Succeeded {
		return fmt.Errorf("the record of machine %s changed while the machine was joining", p.ID)
	}
	if before.Lease != 0 {
		if err := Revoke(context.WithoutCancel(ctx), p.Store, clientv3.LeaseID(before.Lease)); err != nil {
			slog.Debug("a lease is left to end by itself", "error", err)
		}
	}
	return nil
}

// unattended waits until a lease was not renewed for longer than its owner would leave it,
// or fails if it was.
func (p *Presence) unattended(ctx context.Context, lease clientv3.LeaseID, is store.Machine) error {
	last := time.Duration(-1)
	for {
		request, stop := context.WithTimeout(ctx, requestTime)
		answer, err := p.Store.TimeToLive(request, lease)
		stop()
		if err != nil {
			return fmt.Errorf("whether another machine has the ID %s: %w", p.ID, err)
		}
		left, all := time.Duration(answer.TTL)*time.Second, time.Duration(answer.GrantedTTL)*time.Second
		switch {
		case left <= 0 || left < all-all/3-2*time.Second:
			return nil
		case last >= 0 && left > last:
			return fmt.Errorf("another machine with the ID %s is in the cluster, at %q: every machine needs an ID of its own in /etc/machine-id", p.ID, is.PublicIP)
		}
		last = left
		if !pause.For(ctx, time.Second) {
			return context.Cause(ctx)
		}
	}
}
