package leader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
)

// maxJitter spreads the attempts of all machines after the leader has gone.
const maxJitter = 200 * time.Millisecond

// requestTime bounds a request to etcd.
const requestTime = 10 * time.Second

// campaign waits until this machine is the leader. It remains the leader as long as its lease
// lasts. campaign returns the revision that identifies the leadership.
func campaign(ctx context.Context, s *store.Store, lease clientv3.LeaseID, id string) (int64, error) {
	for {
		request, stop := context.WithTimeout(ctx, requestTime)
		key := s.Leader()
		answer, err := s.Txn(request).
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
		if clientv3.LeaseID(kv.Lease) == lease { // an earlier attempt has won, and its answer was lost
			return kv.CreateRevision, nil
		}
		if err := waitDeleted(ctx, s, key, answer.Header.Revision); err != nil {
			return 0, err
		}
		select {
		case <-time.After(rand.N(maxJitter)):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// waitDeleted waits until a key that existed at a revision is deleted.
func waitDeleted(ctx context.Context, s *store.Store, key string, revision int64) error {
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	for answer := range s.Watch(ctx, key, clientv3.WithRev(revision), clientv3.WithFilterPut()) {
		if err := answer.Err(); err != nil {
			return fmt.Errorf("watching the leader: %w", err)
		}
		if len(answer.Events) > 0 {
			return nil
		}
	}
	return errors.New("watching the leader ended")
}
