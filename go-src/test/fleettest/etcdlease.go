package fleettest

import (
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type lease struct {
	ttl   time.Duration
	until time.Time
	timer *time.Timer
	keys  map[string]bool
}

// Lose takes the leader away, or brings one. The new leader gives all leases their full time.
func (e *Etcd) Lose(lost bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lost && !lost {
		for id := range e.leases {
			e.renew(id)
		}
	}
	e.lost = lost
}

// grant makes a lease, which ends after its time.
func (e *Etcd) grant(seconds int64) clientv3.LeaseID {
	e.last++
	id, ttl := e.last, time.Duration(seconds)*time.Second
	e.leases[id] = &lease{ttl: ttl, keys: map[string]bool{}, until: time.Now().Add(ttl), timer: time.AfterFunc(ttl, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if l := e.leases[id]; l != nil && !e.lost && !time.Now().Before(l.until) {
			e.revoke(id)
		}
	})}
	return id
}

func (e *Etcd) renew(id clientv3.LeaseID) (time.Duration, bool) {
	l := e.leases[id]
	if l == nil {
		return 0, false
	}
	l.until = time.Now().Add(l.ttl)
	l.timer.Reset(l.ttl)
	return l.ttl, true
}

func (e *Etcd) revoke(id clientv3.LeaseID) bool {
	l := e.leases[id]
	if l == nil {
		return false
	}
	l.timer.Stop()
	delete(e.leases, id)
	e.write(func(revision int64) bool {
		n := int64(0)
		for key := range l.keys {
			n += e.delete(clientv3.OpDelete(key), revision)
		}
		return n > 0
	})
	return true
}
