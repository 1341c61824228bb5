package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// undrainRetry is the pause before the next attempt to end a drain.
const undrainRetry = 5 * time.Second

// undrain ends a drain that lasts until the machine has restarted, if it has.
func (n *Node) undrain(ctx context.Context) {
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		err := n.endDrain(ctx)
		if err != nil {
			slog.Warn("the drain of this machine cannot be read or ended", "error", err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(undrainRetry)), backoff.WithMaxElapsedTime(0))
}

func (n *Node) endDrain(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, undrainRetry)
	defer stop()
	key := n.Store.Drain(n.ID)
	drain, revision, err := store.Fetch[store.Drain](ctx, n.Store, key)
	if err != nil || revision == 0 || drain.Boot == "" || drain.Boot == n.Describe().Boot {
		return err
	}
	unchanged := clientv3.Compare(clientv3.ModRevision(key), "=", revision)
	done, err := n.Store.Txn(ctx).If(unchanged).Then(clientv3.OpDelete(key)).Commit()
	if err == nil && !done.Succeeded {
		err = errors.New("the drain changed meanwhile")
	}
	if err != nil {
		return err
	}
	slog.Info("the drain has ended: the machine has restarted", "reason", drain.Reason)
	return nil
}
