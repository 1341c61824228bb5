package lock

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// presenceTTL is the time after which a machine that no longer announces itself counts as
// absent.
const presenceTTL = time.Minute

// Presence announces one machine to the group while it runs.
type Presence struct {
	lock *Lock
	once sync.Once
	stop context.CancelFunc
	done chan struct{}
	wake chan struct{}

	mu    sync.Mutex
	now   Machine
	other string    // the host that announces itself by the same id
	seen  time.Time // when it did so last
}

// NewPresence returns a presence that announces nothing yet.
func (l *Lock) NewPresence() *Presence {
	return &Presence{lock: l, stop: func() {}, wake: make(chan struct{}, 1)}
}

// Announce sets what is announced. It is written again after etcd was unreachable, until
// End is called or the context of the first call ends.
func (p *Presence) Announce(ctx context.Context, m Machine) {
	p.mu.Lock()
	p.now = m
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	p.once.Do(func() {
		ctx, p.stop = context.WithCancel(ctx)
		p.done = make(chan struct{})
		go p.run(ctx)
	})
}

// Twice reports whether another machine announces itself by the same id, and its host. Each of the
// two sees the other within half a minute.
func (p *Presence) Twice() (host string, twice bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.other, !p.seen.IsZero() && time.Since(p.seen) < 2*presenceTTL
}

// End removes the announcement.
func (p *Presence) End() {
	if p.stop(); p.done != nil {
		<-p.done
	}
}

func (p *Presence) run(ctx context.Context) {
	defer close(p.done)
	for ctx.Err() == nil {
		p.session(ctx)
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
	}
}

// session announces the machine during one lease.
func (p *Presence) session(ctx context.Context) {
	etcd := p.lock.etcd
	granting, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	lease, err := etcd.Grant(granting, int64(presenceTTL/time.Second))
	if err != nil {
		return
	}
	defer func() {
		revoking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_, _ = etcd.Revoke(revoking, lease.ID)
	}()
	alive, err := etcd.KeepAlive(ctx, lease.ID)
	if err != nil {
		return
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	written := etcd.Watch(watching, p.key())
	var told Machine
	for again := false; ; {
		if again { // so that the other one sees this machine, too
			told, again = Machine{}, false
		}
		if told, err = p.tell(ctx, lease.ID, told); err != nil {
			return
		}
		select {
		case <-p.wake:
		case changes, ok := <-written:
			if !ok {
				return
			}
			p.look(changes.Events, lease.ID)
		case _, ok := <-alive:
			if !ok {
				return
			}
			_, again = p.Twice()
		}
	}
}

// key is where the machine announces itself.
func (p *Presence) key() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lock.keys + "machines/" + p.now.ID
}

// look looks for announcements that another machine made, on a lease that is not this one's.
func (p *Presence) look(events []*clientv3.Event, lease clientv3.LeaseID) {
	for _, event := range events {
		if !event.IsCreate() && !event.IsModify() || clientv3.LeaseID(event.Kv.Lease) == lease {
			continue
		}
		var other Machine
		_ = json.Unmarshal(event.Kv.Value, &other) // without a name it is another one, too
		p.mu.Lock()
		p.other, p.seen = other.Host, time.Now()
		p.mu.Unlock()
	}
}

// tell writes what has changed since told.
func (p *Presence) tell(ctx context.Context, lease clientv3.LeaseID, told Machine) (Machine, error) {
	p.mu.Lock()
	now := p.now
	p.mu.Unlock()
	if now == told || now.ID == "" {
		return told, nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return told, err
	}
	operations := []clientv3.Op{clientv3.OpPut(p.lock.keys+"machines/"+now.ID, string(text), clientv3.WithLease(lease))}
	waiting := p.lock.keys + "waiting/" + now.ID
	switch {
	case now.Turn == 0:
		operations = append(operations, clientv3.OpDelete(waiting))
	case told.Turn == 0: // the revision of its creation is its position
		operations = append(operations, clientv3.OpPut(waiting, "", clientv3.WithLease(lease)))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	_, err = p.lock.etcd.Txn(ctx).Then(operations...).Commit()
	if err != nil {
		return told, err
	}
	return now, nil
}
