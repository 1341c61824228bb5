// Package fleetpresence keeps a machine in a fleet cluster: a record in etcd on a lease that
// is renewed for as long as the machine lives.
package fleetpresence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleetstore"
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
	// Changed says that Describe says something else.
	Changed <-chan struct{}
}

// pause is before the next attempt to join.
const pause = time.Second

// requestTime bounds a request to etcd.
const requestTime = 5 * time.Second

// Run joins, and joins again whenever the lease was lost, until the context ends, when
// the lease is left to the next run. It calls joined with a context that ends with the
// lease, and left when the lease may have ended without the machine's doing: before that,
// counted from the last renewal, no other machine can know.
func (p *Presence) Run(ctx context.Context, joined func(context.Context, clientv3.LeaseID), left func()) {
	for ctx.Err() == nil {
		lease, until, err := p.join(ctx)
		if err != nil {
			slog.Warn("this machine cannot join the cluster, and tries again", "error", err)
			if !wait(ctx, pause) {
				return
			}
			continue
		}
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
	}
}

// join returns a lease with the machine's record on it, and until when it lasts at least.
func (p *Presence) join(ctx context.Context) (clientv3.LeaseID, time.Time, error) {
	if lease, until, ok := p.resume(ctx); ok {
		return lease, until, nil
	}
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	sent := time.Now()
	granted, err := p.Store.Grant(request, int64(p.TTL/time.Second))
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("etcd grants no lease: %w", err)
	}
	if err := p.claim(ctx, granted.ID); err != nil {
		revoke(p.Store, granted.ID)
		return 0, time.Time{}, err
	}
	if p.LeaseFile != "" {
		if err := renameio.WriteFile(p.LeaseFile, fmt.Appendf(nil, "%x\n", granted.ID), 0o600); err != nil {
			slog.Warn("the lease cannot be kept for the next run", "error", err)
		}
	}
	return granted.ID, sent.Add(time.Duration(granted.TTL) * time.Second), nil
}

// revoke ends a lease that is not used.
func revoke(store *fleetstore.Store, lease clientv3.LeaseID) {
	ctx, stop := context.WithTimeout(context.Background(), requestTime)
	defer stop()
	if _, err := store.Revoke(ctx, lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		slog.Debug("a lease is left to end by itself", "error", err)
	}
}

// resume goes on with the lease of an earlier run.
func (p *Presence) resume(ctx context.Context) (clientv3.LeaseID, time.Time, bool) {
	data, err := os.ReadFile(p.LeaseFile)
	if err != nil {
		return 0, time.Time{}, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 16, 64)
	if err != nil {
		return 0, time.Time{}, false
	}
	lease, sent := clientv3.LeaseID(n), time.Now()
	request, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	alive, err := p.Store.KeepAliveOnce(request, lease)
	if err != nil {
		return 0, time.Time{}, false
	}
	done, err := p.Store.Txn(request).If(clientv3.Compare(clientv3.LeaseValue(p.Store.Machine(p.ID)), "=", lease)).Then(p.record(lease)).Commit()
	if err != nil || !done.Succeeded {
		return 0, time.Time{}, false
	}
	return lease, sent.Add(time.Duration(alive.TTL) * time.Second), true
}

func (p *Presence) record(lease clientv3.LeaseID) clientv3.Op {
	return clientv3.OpPut(p.Store.Machine(p.ID), fleetstore.Encode(p.Describe()), clientv3.WithLease(lease))
}

// keep renews the lease until it is lost or may have ended.
func (p *Presence) keep(ctx context.Context, lease clientv3.LeaseID, until time.Time) error {
	var err error
	every := p.TTL / 3
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(until)):
			return fmt.Errorf("the lease could not be renewed in time: %w", err)
		case <-p.Changed:
			if err = p.update(ctx, lease); err != nil {
				slog.Warn("what this machine is like could not be written", "error", err)
			}
			continue
		case <-next.C:
		}
		sent := time.Now()
		request, stop := context.WithDeadline(ctx, earlier(until, sent.Add(every)))
		var answer *clientv3.LeaseKeepAliveResponse
		answer, err = p.Store.KeepAliveOnce(request, lease)
		stop()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return errors.New("the lease has ended")
		case err != nil:
			next.Reset(min(pause, every))
		default:
			until = sent.Add(time.Duration(answer.TTL) * time.Second)
			next.Reset(every)
		}
	}
}

func (p *Presence) update(ctx context.Context, lease clientv3.LeaseID) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	_, err := p.Store.Do(ctx, p.record(lease))
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wait waits, and reports whether the context still lives.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
