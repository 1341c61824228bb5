package fleetpresence

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleetstore"
)

// claim puts the machine's record on a lease. A record of the same machine that is there
// already is from before it started anew; but if somebody keeps that alive there are two
// machines with one ID.
func (p *Presence) claim(ctx context.Context, lease clientv3.LeaseID) error {
	key := p.Store.Machine(p.ID)
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	answer, err := p.Store.Txn(request).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).Then(p.record(lease)).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	if answer.Succeeded {
		return nil
	}
	kv := answer.Responses[0].GetResponseRange().Kvs[0]
	old := clientv3.LeaseID(kv.Lease)
	if old == lease {
		return nil
	}
	is, err := fleetstore.Decode[fleetstore.Machine](kv.Value)
	if err == nil && is.Boot != p.Describe().Boot {
		if err := p.unattended(ctx, old, is); err != nil {
			return err
		}
	}
	request, stop = context.WithTimeout(ctx, requestTime)
	defer stop()
	answer, err = p.Store.Txn(request).If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).Then(p.record(lease)).Commit()
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	if !answer.Succeeded {
		return fmt.Errorf("the record of machine %s changed while it was taken over", p.ID)
	}
	revoke(p.Store, old)
	return nil
}

// unattended waits until a lease was not renewed for longer than its owner would leave it,
// or fails if it was.
func (p *Presence) unattended(ctx context.Context, lease clientv3.LeaseID, is fleetstore.Machine) error {
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
		if !wait(ctx, time.Second) {
			return context.Cause(ctx)
		}
	}
}
