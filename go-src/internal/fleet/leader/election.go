package leader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	fleetstore "coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// maxJitter spreads the attempts of all machines when the leader is gone.
const maxJitter = 200 * time.Millisecond

// requestTime bounds a request to etcd.
const requestTime = 10 * time.Second

// campaign waits until this machine leads. The leadership lasts as long as the lease; it
// returns the revision that proves it.
func campaign(ctx context.Context, store *fleetstore.Store, lease clientv3.LeaseID, id string) (int64, error) {
	for {
		request, stop := context.WithTimeout(ctx, requestTime)
		key := store.Leader()
		answer, err := store.Txn(request).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, id, clientv3.WithLease(lease))).
			Else(clientv3.OpGet(key)).Commit()
		stop()
		if err != nil {
			return 0, fmt.Errorf("election: %w", err)
		}
		if answer.Succeeded {
			return answer.Header.Revision, nil
		}
		kv := answer.Responses[0].GetResponseRange().Kvs[0]
		if clientv3.LeaseID(kv.Lease) == lease { // won, and the answer was lost
			return kv.CreateRevision, nil
		}
		if err := gone(ctx, store, key, answer.Header.Revision); err != nil {
			return 0, err
		}
		if !pause.For(ctx, rand.N(maxJitter)) {
			return 0, ctx.Err()
		}
	}
}

// gone waits until a key is deleted.
func gone(ctx context.Context, store *fleetstore.Store, key string, revision int64) error {
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	for answer := range store.Watch(ctx, key, clientv3.WithRev(revision), clientv3.WithFilterPut()) {
		if err := answer.Err(); err != nil {
			return fmt.Errorf("watching the leader: %w", err)
		}
		if len(answer.Events) > 0 {
			return nil
		}
	}
	return errors.New("watching the leader ended")
}
