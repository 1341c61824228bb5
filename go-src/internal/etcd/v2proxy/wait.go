package v2proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// reopen is the pause before a watch that failed is opened again.
const reopen = 100 * time.Millisecond

// watch receives the events of a key.
type watch struct {
	*Store
	path      string
	recursive bool
	// next is the revision to continue from.
	next   int64
	header *etcdserverpb.ResponseHeader
	events clientv3.WatchChan
	// end cancels the watch of etcd.
	end   context.CancelFunc
	queue []*Event
}

// watch starts to wait at the index of the request, or for the next event. If the index is
// compacted it fails at once, so that the response has an error status.
func (s *Store) watch(ctx context.Context, r *request) (*watch, error) {
	var opts []clientv3.OpOption
	if r.serializable {
		opts = append(opts, clientv3.WithSerializable())
	}
	now, err := s.readTxn(ctx, clientv3.OpGet(recordKey, append(opts, clientv3.WithKeysOnly())...))
	if err != nil {
		return nil, failure(err, false)
	}
	w := &watch{Store: s, path: r.path, recursive: r.recursive, next: r.waitIndex, header: now.Header}
	if w.next == 0 {
		w.next = now.Header.Revision + 1
	}
	if w.next > now.Header.Revision {
		return w, nil
	}
	_, err = s.readTxn(ctx, clientv3.OpGet(recordKey, clientv3.WithKeysOnly(), clientv3.WithRev(w.next)))
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil, w.cleared(w.oldest(ctx))
	}
	if err != nil {
		return nil, failure(err, false)
	}
	return w, nil
}

// oldest returns the first revision that is not compacted, which etcd reports to a watch of
// an older one.
func (w *watch) oldest(ctx context.Context) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for resp := range w.client.Watch(ctx, recordKey, clientv3.WithRev(w.next)) {
		if resp.CompactRevision > 0 {
			return resp.CompactRevision
		}
	}
	return w.header.Revision
}

func (w *watch) cleared(oldest int64) *Error {
	return fail(CodeIndexCleared, w.header.Revision, "the requested history has been cleared [%d/%d]", oldest, w.next)
}

// Next waits for the next event. If the watch fails, it continues at another member.
func (w *watch) Next(ctx context.Context) (*Event, error) {
	for len(w.queue) == 0 {
		if w.events == nil {
			w.open(ctx)
		}
		resp, ok := <-w.events
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if resp.CompactRevision > 0 {
			return nil, w.cleared(resp.CompactRevision)
		}
		if !ok || resp.Err() != nil || w.take(ctx, resp.Events) != nil {
			w.end()
			w.events = nil
			select {
			case <-time.After(reopen):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	e := w.queue[0]
	w.queue = w.queue[1:]
	return e, nil
}

// open watches all keys that can have events of the path. The keys of a file and of a
// directory are not adjacent, so it also receives some keys between them.
func (w *watch) open(ctx context.Context) {
	from, end := w.path, marker(w.path)+"\x00"
	if w.recursive {
		end = clientv3.GetPrefixRangeEnd(marker(w.path))
	}
	ctx, w.end = context.WithCancel(clientv3.WithRequireLeader(ctx))
	w.events = w.client.Watch(ctx, from,
		clientv3.WithRange(end), clientv3.WithRev(w.next), clientv3.WithPrevKV())
}

// take queues the events. etcd never splits the events of one revision.
func (w *watch) take(ctx context.Context, events []*clientv3.Event) error {
	for len(events) > 0 {
		revision := events[0].Kv.ModRevision
		n := slices.IndexFunc(events, func(e *clientv3.Event) bool { return e.Kv.ModRevision != revision })
		if n < 0 {
			n = len(events)
		}
		made, err := w.translate(ctx, revision, events[:n])
		if err != nil {
			return err
		}
		w.queue = append(w.queue, made...)
		w.next = revision + 1
		events = events[n:]
	}
	return nil
}

// translate converts the events of a revision to etcd 2's. A write of a proxy is one event,
// or none if it is a refresh or about another key.
func (w *watch) translate(ctx context.Context, revision int64, events []*clientv3.Event) ([]*Event, error) {
	r, err := w.records.at(ctx, revision)
	if err != nil {
		return nil, err
	}
	var made []*Event
	if r == nil {
		made, err = w.foreign(ctx, revision, events)
	} else if !r.Refresh {
		made = []*Event{recorded(r, revision, events)}
	}
	if err != nil {
		return nil, err
	}
	made = slices.DeleteFunc(made, func(e *Event) bool { return !w.concerns(e, events) })
	for _, e := range made {
		// The TTL is set if it is known; the event counts without it, too.
		one, cancel := context.WithTimeout(ctx, time.Second)
		_ = w.fillTTLs(one, e.Node, e.PrevNode)
		cancel()
	}
	return made, nil
}

// concerns reports whether the watch reports an event: if it is about its path, or a path
// below it that is not hidden, or if a directory above was deleted together with its path.
func (w *watch) concerns(e *Event, events []*clientv3.Event) bool {
	p := e.Node.Key
	switch {
	case p == w.path:
		return true
	case under(w.path, p):
		return w.recursive && !hidden(w.path, p)
	case under(p, w.path) && (e.Action == Delete || e.Action == Expire):
		return slices.ContainsFunc(events, func(e *clientv3.Event) bool {
			at, _, ok := pathOf(string(e.Kv.Key))
			return ok && e.Type == clientv3.EventTypeDelete && (at == w.path || w.recursive && under(w.path, at))
		})
	}
	return false
}

// recorded returns the event that a record describes. The events may lack its key if the
// watch is for a path below it.
func recorded(r *record, revision int64, events []*clientv3.Event) *Event {
	var made *Event
	var file *Node
	for _, e := range events {
		p, dir, ok := pathOf(string(e.Kv.Key))
		switch {
		case !ok || p != r.Key:
		case dir == r.Dir:
			made = event(r.Action, p, dir, e)
		case !dir && e.PrevKv != nil:
			// The file that the directory replaces.
			file = newNode(p, e.PrevKv, false, 0)
			file.lease = 0
		}
	}
	if made == nil {
		made = &Event{Action: r.Action, Node: gone(r.Key, r.Dir, revision, r.Created)}
		if r.Action == Delete {
			made.PrevNode = gone(r.Key, r.Dir, r.Modified, r.Created)
		}
	}
	if made.PrevNode == nil {
		made.PrevNode = file
	}
	return made
}

// event converts an event of etcd 3.
func event(action, p string, dir bool, e *clientv3.Event) *Event {
	made := &Event{Action: action}
	if e.PrevKv != nil {
		made.PrevNode = newNode(p, e.PrevKv, dir, 0)
	}
	if e.Type == clientv3.EventTypePut {
		made.Node = newNode(p, e.Kv, dir, 0)
		return made
	}
	made.Node = gone(p, dir, e.Kv.ModRevision, 0)
	if e.PrevKv != nil {
		made.Node.CreatedIndex = e.PrevKv.CreateRevision
		made.PrevNode.lease = 0 // it has ended, or belongs to something else
	}
	return made
}

// foreign returns the events of a write of a v3 client, or of the end of a lease. The
// deletion of a directory is one event.
func (w *watch) foreign(ctx context.Context, revision int64, events []*clientv3.Event) ([]*Event, error) {
	var made []*Event
	var dirs []string
	// A marker is before the keys of its directory.
	for _, e := range slices.SortedFunc(slices.Values(events), func(a, b *clientv3.Event) int {
		return slices.Compare(a.Kv.Key, b.Kv.Key)
	}) {
		p, dir, ok := pathOf(string(e.Kv.Key))
		if !ok || slices.ContainsFunc(dirs, func(d string) bool { return under(d, p) }) {
			continue
		}
		action := Set
		if e.Type == clientv3.EventTypeDelete {
			action = Delete
			if leaseOf(e.PrevKv) != 0 {
				action = Expire
			}
		}
		if dir && action != Set {
			dirs = append(dirs, p)
		}
		made = append(made, event(action, p, dir, e))
	}
	if len(made) == 0 || made[0].Action != Expire {
		return made, nil
	}
	above, err := w.expiredAbove(ctx, revision, events)
	if above != nil {
		made = []*Event{above}
	}
	return made, err
}

// expiredAbove returns the outermost directory above the path that ended with the lease of
// the first event, which the watch does not receive. It returns nil if there is none, or if
// the revision before is compacted.
func (w *watch) expiredAbove(ctx context.Context, revision int64, events []*clientv3.Event) (*Event, error) {
	first := slices.IndexFunc(events, func(e *clientv3.Event) bool { return leaseOf(e.PrevKv) != 0 })
	dirs := ancestors(w.path)
	if first < 0 || len(dirs) == 0 {
		return nil, nil
	}
	var ops []clientv3.Op
	for _, dir := range dirs {
		ops = append(ops, clientv3.OpGet(marker(dir), clientv3.WithRev(revision-1)))
	}
	got, err := w.readTxn(ctx, ops...)
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range dirs {
		for _, kv := range got.Responses[i].GetResponseRange().Kvs {
			if kv.Lease == leaseOf(events[first].PrevKv) {
				return expiredDir(dirs[i], kv, revision), nil
			}
		}
	}
	return nil, nil
}

func expiredDir(p string, kv *mvccpb.KeyValue, revision int64) *Event {
	return &Event{
		Action:   Expire,
		Node:     gone(p, true, revision, kv.CreateRevision),
		PrevNode: gone(p, true, kv.ModRevision, kv.CreateRevision),
	}
}
