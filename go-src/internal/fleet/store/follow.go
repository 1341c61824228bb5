package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Batch is what a reader that follows a part of etcd gets: everything that is there (Reset), or
// what has changed. The changes of one transaction are in one batch.
type Batch struct {
	Reset    bool
	Events   []Event
	Revision int64
}

// Event is a key with its new value. Value is nil if the key was deleted.
type Event struct {
	// Key has no prefix; it is empty for the reader of a single key.
	Key      string
	Value    []byte
	Revision int64
}

// Latest applies a batch about a single key to the record of the key. It returns the zero value
// if the key was deleted or if its value cannot be read.
func Latest[T any](b Batch, before T) (record T, err error) {
	switch last := len(b.Events) - 1; {
	case last < 0 && !b.Reset:
		return before, nil
	case last < 0 || b.Events[last].Value == nil:
		return record, nil
	default:
		if record, err = Decode[T](b.Events[last].Value); err != nil {
			return *new(T), err
		}
		return record, nil
	}
}

// pageSize bounds the keys of one answer.
const pageSize = 2000

// Times of following.
const (
	firstPause, maxPause = 100 * time.Millisecond, 5 * time.Second
	readTime             = 30 * time.Second
)

// scope is the part of etcd that is read: the keys from begin to before end, or begin alone if
// end is empty.
type scope struct{ begin, end string }

// below returns the scope of all keys that begin with a prefix.
func below(prefix string) scope { return scope{prefix, clientv3.GetPrefixRangeEnd(prefix)} }

func (s scope) options(more ...clientv3.OpOption) []clientv3.OpOption {
	if s.end != "" {
		more = append(more, clientv3.WithRange(s.end))
	}
	return more
}

// Follow passes everything below a prefix to a function, and then each change, until the context
// ends. After a time without etcd it continues where it stopped; if etcd has forgotten that
// revision, it begins again (Reset). The prefix has to end with the separator /: otherwise the
// reader also gets the keys of names that begin with the last name of the prefix.
func (s *Store) Follow(ctx context.Context, prefix string, tell func(Batch)) {
	s.followScope(ctx, below(prefix), tell)
}

// FollowKey is Follow for a single key.
func (s *Store) FollowKey(ctx context.Context, key string, tell func(Batch)) {
	s.followScope(ctx, scope{begin: key}, tell)
}

func (s *Store) followScope(ctx context.Context, sc scope, tell func(Batch)) {
	// Requests for progress must use a context with the same metadata: etcd sends the answer
	// on the stream that belongs to it.
	ctx = clientv3.WithRequireLeader(ctx)
	pauses := &backoff.ExponentialBackOff{InitialInterval: firstPause, MaxInterval: maxPause, Multiplier: 2}
	pauses.Reset()
	revision := int64(0)
	for ctx.Err() == nil {
		next, err := s.follow(ctx, sc, revision, tell)
		if ctx.Err() != nil {
			return
		}
		if next > revision {
			pauses.Reset()
		}
		revision = next
		slog.Debug("etcd: following again", "from", sc.begin, "error", err)
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// follow reads everything, if the revision is 0, and watches until something fails. It returns
// the revision up to which it has passed on all changes.
func (s *Store) follow(ctx context.Context, sc scope, revision int64, tell func(Batch)) (int64, error) {
	if revision == 0 {
		batch, err := s.read(ctx, sc)
		if err != nil {
			return 0, err
		}
		tell(batch)
		revision = batch.Revision
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The watch begins at a revision that exists, and skips its changes. If it waited for the
	// next revision, etcd would report no progress on the connection.
	known := revision
	for answer := range s.Watch(ctx, sc.begin, sc.options(clientv3.WithRev(revision), clientv3.WithProgressNotify())...) {
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
			e := Event{Key: string(event.Kv.Key[len(sc.begin):]), Revision: event.Kv.ModRevision}
			if event.Type == clientv3.EventTypePut {
				e.Value = event.Kv.Value
			}
			batch.Events = append(batch.Events, e)
		}
		tell(batch)
		revision = max(revision, batch.Revision)
	}
	return revision, fmt.Errorf("watch of %s ended", sc.begin)
}

// Read returns everything below a prefix, as it is at one revision.
func (s *Store) Read(ctx context.Context, prefix string) (Batch, error) {
	return s.read(ctx, below(prefix))
}

func (s *Store) read(ctx context.Context, sc scope) (Batch, error) {
	ctx, stop := context.WithTimeout(ctx, readTime)
	defer stop()
	batch := Batch{Reset: true}
	for from := sc; ; {
		options := from.options(clientv3.WithLimit(pageSize))
		if batch.Revision != 0 {
			options = append(options, clientv3.WithRev(batch.Revision))
		}
		answer, err := s.Get(ctx, from.begin, options...)
		if err != nil {
			return Batch{}, fmt.Errorf("reading %s from etcd: %w", sc.begin, err)
		}
		if batch.Revision == 0 {
			batch.Revision = answer.Header.Revision
		}
		for _, kv := range answer.Kvs {
			batch.Events = append(batch.Events, Event{Key: string(kv.Key[len(sc.begin):]), Value: kv.Value, Revision: kv.ModRevision})
		}
		if !answer.More || len(answer.Kvs) == 0 {
			return batch, nil
		}
		from.begin = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
	}
}
