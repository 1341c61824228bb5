// Package membership keeps a machine in a fleet cluster: a record in etcd on a lease that
// is renewed for as long as the machine lives.
package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	fleetstore "coreos/internal/fleet/store"
	"coreos/internal/host/pause"
)

// Presence keeps one machine in the cluster.
type Presence struct {
	Store *fleetstore.Store
	ID    string
	// TTL is how long the cluster waits for the machine after its last sign of life.
	TTL time.Duration
	// Describe says what the machine is like.
	Describe func() fleetstore.Machine
	// LeaseFile keeps the lease for the next run of the program in the same boot, so that
	// a restart of it goes unnoticed; "" keeps it nowhere.
	LeaseFile string
	// NoLeader reports whether no member of etcd can lead now: from when it is called until
	// there is a leader again no lease ends, and then each has all its time again. nil is
	// never.
	NoLeader func(context.Context) bool
	// Renewed is told when the lease was renewed in time; nil for nobody.
	Renewed func()
	// Now is the time since some moment, on a clock that goes on through suspension and
	// restarts of the program, and that nobody sets; nil is the machine's CLOCK_BOOTTIME.
	Now func() time.Duration
}

// retry is before the next attempt to join.
const retry = time.Second

// A third of the lease's time is for an attempt to renew it. Before the lease ends there is
// time for the question whether etcd has a leader, and after that for a pause and a further
// attempt: these are parts of a third.
const (
	questionPart = 4
	pausePart    = 8
)

// maxQuestion bounds the question whether etcd has a leader.
const maxQuestion = 2 * time.Second

func (p *Presence) third() time.Duration { return p.TTL / 3 }

func (p *Presence) question() time.Duration { return min(maxQuestion, p.third()/questionPart) }

// grace is how long units of an earlier run go on, though the lease of that may have
// ended, while it is asked whether it has.
const grace = time.Second

// requestTime bounds a request to etcd.
const requestTime = 5 * time.Second

// Run joins, and joins again whenever the lease was lost, until the context ends, when
// the lease is left to the next run. It calls joined with a context that ends with the
// lease, and left when the lease may have ended without the machine's doing: before that,
// counted from the last renewal, no other machine can know.
func (p *Presence) Run(ctx context.Context, joined func(context.Context, clientv3.LeaseID), left func()) {
	if p.Now == nil {
		p.Now = Boottime
	}
	last, until := Recall(p.LeaseFile)
	out := false // of the cluster, and left was called
	for ctx.Err() == nil {
		attempt, stop := ctx, context.CancelFunc(func() {})
		if !out {
			until = p.hold(ctx, last, until)
			attempt, stop = context.WithTimeout(ctx, max(until-p.Now()-p.question(), grace))
		}
		lease, untilNow, err := p.join(attempt, last)
		stop()
		if err != nil && !out {
			until = p.hold(ctx, last, until)
		}
		if !out && (p.Now() >= until || err == nil && lease != last) {
			out = true
			left() // units of an earlier run; fleet-guard may be stopping them already
		}
		if err != nil {
			slog.Warn("this machine cannot join the cluster, and tries again", "error", err)
			if !pause.For(ctx, retry) {
				return
			}
			continue
		}
		out, until = false, untilNow
		slog.Info("this machine has joined the cluster", "id", p.ID, "lease", fmt.Sprintf("%x", lease))
		session, end := context.WithCancel(ctx)
		joined(session, lease)
		err = p.keep(ctx, lease, until)
		end()
		if ctx.Err() != nil {
			return
		}
		slog.Warn("this machine is no longer in the cluster", "error", err)
		left()
		out, last = true, lease // which may be there still
	}
}

// join returns a lease with the machine's record on it, and until when it lasts at least.
func (p *Presence) join(ctx context.Context, last clientv3.LeaseID) (clientv3.LeaseID, time.Duration, error) {
	if until, ok, err := p.resume(ctx, last); ok || err != nil {
		return last, until, err
	}
	before, err := p.predecessor(ctx)
	if err != nil {
		return 0, 0, err
	}
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	sent := p.Now()
	granted, err := p.Store.Grant(request, int64(p.TTL/time.Second))
	if err != nil {
		return 0, 0, fmt.Errorf("etcd grants no lease: %w", err)
	}
	if err := p.claim(ctx, granted.ID, before); err != nil {
		return 0, 0, err // the lease ends by itself: the record may be on it
	}
	until := sent + time.Duration(granted.TTL)*time.Second
	p.remember(granted.ID, until)
	return granted.ID, until, nil
}

// Revoke ends a lease that is not used any longer, or has ended already.
func Revoke(ctx context.Context, store *fleetstore.Store, lease clientv3.LeaseID) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	if _, err := store.Revoke(ctx, lease); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	return nil
}

// resume goes on with the lease of an earlier run, if it is there still and the machine's.
func (p *Presence) resume(ctx context.Context, last clientv3.LeaseID) (until time.Duration, ok bool, err error) {
	if last == 0 {
		return 0, false, nil
	}
	sent := p.Now()
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	alive, err := p.Store.KeepAliveOnce(request, last)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("the lease of the last run cannot be renewed: %w", err)
	}
	done, err := p.Store.Txn(request).If(clientv3.Compare(clientv3.LeaseValue(p.Store.Machine(p.ID)), "=", last)).Then(p.record(last)).Commit()
	if err != nil {
		return 0, false, fmt.Errorf("joining again: %w", err)
	}
	if !done.Succeeded {
		return 0, false, nil
	}
	until = sent + time.Duration(alive.TTL)*time.Second
	p.remember(last, until)
	return until, true, nil
}

func (p *Presence) record(lease clientv3.LeaseID) clientv3.Op {
	return clientv3.OpPut(p.Store.Machine(p.ID), fleetstore.Encode(p.Describe()), clientv3.WithLease(lease))
}

// hold returns until when a lease lasts that could not be renewed: longer than before if it
// is about to end, and no member of etcd can end it.
func (p *Presence) hold(ctx context.Context, lease clientv3.LeaseID, until time.Duration) time.Duration {
	now := p.Now()
	if p.NoLeader == nil || now >= until || until-now > p.third() {
		return until
	}
	ctx, stop := context.WithTimeout(ctx, min(p.question(), until-now))
	defer stop()
	if !p.NoLeader(ctx) {
		return until
	}
	until = max(until, now+p.third())
	slog.Warn("etcd has no leader: units go on running, as nobody can give them to another machine")
	p.remember(lease, until)
	return until
}

// keep renews the lease until it is lost or may have ended.
func (p *Presence) keep(ctx context.Context, lease clientv3.LeaseID, until time.Duration) error {
	var err error
	every := p.third()
	// Joining may have taken a part of the lease.
	next := time.NewTimer(until - p.TTL + every - p.Now())
	defer next.Stop()
	for {
		left := until - p.Now()
		switch {
		case left <= 0 && err == nil:
			return errors.New("the lease was not renewed in time")
		case left <= 0:
			return fmt.Errorf("the lease could not be renewed in time: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(left):
			continue
		case <-next.C:
		}
		sent := p.Now()
		if sent >= until {
			continue // this program has not run for a time, or the machine
		}
		request, stop := context.WithTimeout(ctx, min(max(until-sent-p.question(), p.question()), every))
		var answer *clientv3.LeaseKeepAliveResponse
		answer, err = p.Store.KeepAliveOnce(request, lease)
		stop()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return errors.New("the lease has ended")
		case err != nil:
			until = p.hold(ctx, lease, until)
			next.Reset(min(retry, every/pausePart))
		case p.Now() >= until:
			return errors.New("the lease was renewed too late: the machine's units may have been stopped")
		default:
			until = sent + time.Duration(answer.TTL)*time.Second
			p.remember(lease, until)
			next.Reset(every)
			if p.Renewed != nil {
				p.Renewed()
			}
		}
	}
}

// remember keeps a lease, and until when it lasts, for the next run.
func (p *Presence) remember(lease clientv3.LeaseID, until time.Duration) {
	if p.LeaseFile == "" {
		return
	}
	if err := renameio.WriteFile(p.LeaseFile, fmt.Appendf(nil, "%x %d\n", int64(lease), int64(until)), 0o600, renameio.WithTempDir(filepath.Dir(p.LeaseFile))); err != nil {
		slog.Warn("the lease cannot be kept for the next run", "error", err)
	}
}

// Recall returns what a run remembered in its LeaseFile, zeros if there is nothing. A machine
// that has started anew has nothing to remember: the file is gone with /run, and the clock
// began at zero.
func Recall(file string) (lease clientv3.LeaseID, until time.Duration) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, 0
	}
	var id, nanoseconds int64
	if _, err := fmt.Sscanf(string(data), "%x %d", &id, &nanoseconds); err != nil {
		slog.Warn("the lease of the last run cannot be read", "file", file, "error", err)
		return 0, 0
	}
	return clientv3.LeaseID(id), time.Duration(nanoseconds)
}

// Boottime reads CLOCK_BOOTTIME.
func Boottime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // Linux has it
	}
	return time.Duration(t.Nano())
}
