// Package membership keeps a machine in a fleet cluster. The machine has a record in etcd on a
// lease, which is renewed for as long as the machine lives.
package membership

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/store"
	"coreos/internal/host/warning"
)

// Member keeps one machine in the cluster.
type Member struct {
	Store *store.Store
	ID    string
	// TTL is how long the cluster waits for the machine after its last sign of life.
	TTL time.Duration
	// Describe returns the machine's record.
	Describe func() store.Machine
	// LeaseFile keeps the lease for the next run of the program in the same boot, so that a
	// restart of the program changes nothing; "" keeps it nowhere.
	LeaseFile string
	// NoLeader reports whether etcd has no leader now. While it has none, no lease ends, and
	// the next leader gives each lease its full time again. nil means that etcd always has a
	// leader.
	NoLeader func(context.Context) bool
	// Renewed is called when the lease was renewed in time; nil for no call.
	Renewed func()
	// Now returns the time on a clock that runs while the machine is suspended, does not
	// begin again with the program, and cannot be set. nil is CLOCK_BOOTTIME.
	Now func() time.Duration

	// stale is set while the machine's record may be that of the last run.
	stale bool
}

// retryTime is the pause before the next attempt to join.
const retryTime = time.Second

// An attempt to renew the lease can take a third of its time. Before the lease ends there is
// also time for the question whether etcd has a leader, and then for a pause and one more
// attempt. The question and the pause are parts of a third.
const (
	questionPart = 4
	pausePart    = 8
)

// maxQuestion bounds the question whether etcd has a leader.
const maxQuestion = 2 * time.Second

func (m *Member) third() time.Duration { return m.TTL / 3 }

func (m *Member) question() time.Duration { return min(maxQuestion, m.third()/questionPart) }

// grace is how long the units of an earlier run go on while the member asks whether the lease of
// that run has ended.
const grace = time.Second

// requestTime bounds a request to etcd.
const requestTime = 5 * time.Second

// Run joins the cluster, and joins again whenever the lease was lost, until the context ends.
// The lease then stays for the next run. Run calls joined with a context that ends with the
// lease. It calls left when the lease may have ended although the machine did not give it back.
// The cluster does not count the machine as gone before that, because the time of the lease is
// counted from the request for the last renewal.
func (m *Member) Run(ctx context.Context, joined func(context.Context, clientv3.LeaseID), left func()) {
	if m.Now == nil {
		m.Now = Boottime
	}
	last, until := Recall(m.LeaseFile)
	out := false // left was called, and joined not since
	var tries warning.Repeated
	for ctx.Err() == nil {
		attempt, stop := ctx, context.CancelFunc(func() {})
		if !out {
			until = m.extend(ctx, last, until)
			attempt, stop = context.WithTimeout(ctx, max(until-m.Now()-m.question(), grace))
		}
		lease, newUntil, err := m.join(attempt, last)
		stop()
		if err != nil && !out {
			until = m.extend(ctx, last, until)
		}
		if !out && (m.Now() >= until || err == nil && lease != last) {
			out = true
			left() // for the units of an earlier run; fleet-guard may be stopping them already
		}
		if err != nil {
			tries.Warn("this machine cannot join the cluster, and tries again", err, "every", retryTime)
			select {
			case <-time.After(retryTime):
			case <-ctx.Done():
				return
			}
			continue
		}
		out, until = false, newUntil
		tries.Over()
		if !m.session(ctx, lease, until, joined) {
			return
		}
		left()
		out, last = true, lease // etcd may still have the lease
	}
}

// session keeps a lease until it is lost. It reports whether it was lost before the context ended.
func (m *Member) session(ctx context.Context, lease clientv3.LeaseID, until time.Duration, joined func(context.Context, clientv3.LeaseID)) (lost bool) {
	slog.Info("this machine has joined the cluster", "id", m.ID, "lease", fmt.Sprintf("%x", lease))
	session, end := context.WithCancel(ctx)
	joined(session, lease)
	err := m.keep(ctx, lease, until)
	end()
	if ctx.Err() != nil {
		return false
	}
	slog.Warn("this machine is no longer in the cluster", "error", err)
	return true
}

// join returns a lease that has the machine's record, and the time until which it lasts at
// least.
func (m *Member) join(ctx context.Context, last clientv3.LeaseID) (clientv3.LeaseID, time.Duration, error) {
	if until, ok, err := m.resume(ctx, last); ok || err != nil {
		return last, until, err
	}
	before, err := m.predecessor(ctx)
	if err != nil {
		return 0, 0, err
	}
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	sent := m.Now()
	granted, err := m.Store.Grant(request, int64(m.TTL/time.Second))
	if err != nil {
		return 0, 0, fmt.Errorf("etcd grants no lease: %w", err)
	}
	if err := m.claim(ctx, granted.ID, before); err != nil {
		return 0, 0, err // the new lease ends by itself; it may have the record already
	}
	until := sent + time.Duration(granted.TTL)*time.Second
	m.remember(granted.ID, until)
	m.stale = false
	return granted.ID, until, nil
}

func (m *Member) record(lease clientv3.LeaseID) clientv3.Op {
	return clientv3.OpPut(m.Store.Machine(m.ID), store.Encode(m.Describe()), clientv3.WithLease(lease))
}
