package agent

import (
	"context"
	"errors"
	"log/slog"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// recordFinish records in the job of a unit with RunOnce that it has ended without a failure, so
// that no machine runs it again.
func (a *Agent) recordFinish(ctx context.Context, name string, w want) {
	if err := a.writeFinish(ctx, name, w); err != nil && ctx.Err() == nil {
		slog.Warn("the end of a unit with RunOnce could not be written to etcd", "unit", name, "error", err)
	}
}

func (a *Agent) writeFinish(ctx context.Context, name string, w want) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	key := a.Store.Job(name)
	job, revision, err := store.Fetch[store.Job](ctx, a.Store, key)
	if err != nil || revision == 0 || job.Finished != "" || job.Machine != a.ID || job.Hash != w.Hash {
		return err
	}
	job.Finished = "success"
	done, err := a.Store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, store.Encode(job))).Commit()
	if err == nil && !done.Succeeded {
		err = errors.New("its job changed meanwhile")
	}
	return err
}
