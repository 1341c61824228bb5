package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/host/pause"
)

// Batch is a step of what is followed: everything that is there (Reset), or what changed.
// Changes that were made in one transaction come in one batch.
type Batch struct {
	Reset    bool
	Events   []Event
	Revision int64
}

// Event is a key with its new value; Value is nil if it was deleted.
type Event struct {
	// Key is without the prefix that is followed.
	Key      string
	Value    []byte
	Revision int64
}

// page bounds the keys of one answer.
const page = 2000

// Times of following.
const (
	firstPause, maxPause = 100 * time.Millisecond, 5 * time.Second
	readTime             = 30 * time.Second
)

// Follow tells a function of everything below a prefix and then of each change, for as
// long as the context lives. When etcd was away it goes on where it was, or, when that is
// forgotten, from anew (Reset). The context is the one to ask for progress with.
func (s *Store) Follow(ctx context.Context, prefix string, tell func(Batch)) {
	ctx = clientv3.WithRequireLeader(ctx)
	revision, again := int64(0), firstPause
	for ctx.Err() == nil {
		next, err := s.follow(ctx, prefix, revision, tell)
		if ctx.Err() != nil {
			return
		}
		if next > revision {
			again = firstPause
		}
		revision = next
		slog.Debug("etcd: following again", "prefix", prefix, "error", err)
		if !pause.For(ctx, again) {
			return
		}
		again = min(2*again, maxPause)
	}
}

// follow reads everything, if the revision is 0, and watches until something fails. It
// returns the revision up to which all was told.
func (s *Store) follow(ctx context.Context, prefix string, revision int64, tell func(Batch)) (int64, error) {
	if revision == 0 {
		batch, err := s.Read(ctx, prefix)
		if err != nil {
			return 0, err
		}
		tell(batch)
		revision = batch.Revision
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// It watches from a revision that there is: etcd reports no progress to a connection
	// on which somebody waits for the next one.
	known := revision
	for answer := range s.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision), clientv3.WithProgressNotify()) {
		if err := answer.Err(); err != nil {
			if errors.Is(err, rpctypes.ErrCompacted) {
				revision = 0
			}
			return revision, err
		}
		batch := Batch{Revision: answer.Header.Revision}
		for _, event := range answer.Events {
			if event.Kv.ModRevision <= known {
				continue
			}
			e := Event{Key: string(event.Kv.Key[len(prefix):]), Revision: event.Kv.ModRevision}
			if event.Type == clientv3.EventTypePut {
				e.Value = event.Kv.Value
			}
			batch.Events = append(batch.Events, e)
		}
		tell(batch)
		revision = max(revision, batch.Revision)
	}
	return revision, fmt.Errorf("watch of %s ended", prefix)
}

// Read returns everything below a prefix, as it was at one revision.
func (s *Store) Read(ctx context.Context, prefix string) (Batch, error) {
	ctx, stop := context.WithTimeout(ctx, readTime)
	defer stop()
	batch := Batch{Reset: true}
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(page)}
		if batch.Revision != 0 {
			options = append(options, clientv3.WithRev(batch.Revision))
		}
		answer, err := s.Get(ctx, from, options...)
		if err != nil {
			return Batch{}, fmt.Errorf("reading %s from etcd: %w", prefix, err)
		}
		if batch.Revision == 0 {
			batch.Revision = answer.Header.Revision
		}
		for _, kv := range answer.Kvs {
			batch.Events = append(batch.Events, Event{Key: string(kv.Key[len(prefix):]), Value: kv.Value, Revision: kv.ModRevision})
		}
		if !answer.More || len(answer.Kvs) == 0 {
			return batch, nil
		}
		from = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
	}
}
