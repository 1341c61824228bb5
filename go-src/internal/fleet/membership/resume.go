package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// resume renews the lease of an earlier run, if etcd still has it and it has the machine's
// record. A renewal counts even if the record cannot be read or written then, as during an alarm
// of etcd: the cluster waits for the end of the renewed lease, so the units must run until then.
func (m *Member) resume(ctx context.Context, last clientv3.LeaseID) (until time.Duration, ok bool, err error) {
	if last == 0 {
		return 0, false, nil
	}
	sent := m.Now()
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	alive, err := m.Store.KeepAliveOnce(request, last)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("the lease of the last run cannot be renewed: %w", err)
	}
	if err := m.rewrite(request, last); errors.Is(err, errElsewhere) {
		return 0, false, nil
	}
	until = sent + time.Duration(alive.TTL)*time.Second
	m.remember(last, until)
	return until, true, nil
}

// errElsewhere says that the lease does not have the machine's record.
var errElsewhere = errors.New("another lease has the machine's record")

// rewrite writes the machine's record anew, if the lease has it. It notes whether it must be tried
// again.
func (m *Member) rewrite(ctx context.Context, lease clientv3.LeaseID) error {
	err := m.tryRewrite(ctx, lease)
	before := m.stale
	if m.stale = err != nil && !errors.Is(err, errElsewhere); m.stale && !before {
		slog.Warn("the cluster still has this machine's record from before the restart of fleetd; it is written again when etcd takes it", "error", err)
	}
	return err
}

func (m *Member) tryRewrite(ctx context.Context, lease clientv3.LeaseID) error {
	ctx, stop := context.WithTimeout(ctx, min(requestTime, m.third())) // the next renewal must not be late
	defer stop()
	key := m.Store.Machine(m.ID)
	answer, err := m.Store.Get(ctx, key)
	switch {
	case err != nil:
		return err
	case len(answer.Kvs) == 0 || clientv3.LeaseID(answer.Kvs[0].Lease) != lease:
		return errElsewhere
	case string(answer.Kvs[0].Value) == store.Encode(m.Describe()):
		return nil
	}
	done, err := m.Store.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(key), "=", lease)).Then(m.record(lease)).Commit()
	if err == nil && !done.Succeeded {
		err = errElsewhere
	}
	return err
}
