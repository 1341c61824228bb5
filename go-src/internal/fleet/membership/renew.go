package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keep renews the lease until it is lost or may have ended.
func (m *Member) keep(ctx context.Context, lease clientv3.LeaseID, until time.Duration) error {
	var err error
	// Joining may have taken a part of the lease's time.
	next := time.NewTimer(until - m.TTL + m.third() - m.Now())
	defer next.Stop()
	for {
		left := until - m.Now()
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
		sent := m.Now()
		if sent >= until {
			continue // the program or the machine was suspended
		}
		var ttl time.Duration
		ttl, err = m.renew(ctx, lease, min(max(until-sent-m.question(), m.question()), m.third()))
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return errors.New("the lease has ended")
		case err != nil:
			until = m.extend(ctx, lease, until)
			next.Reset(min(retryTime, m.third()/pausePart))
		case m.Now() >= until:
			return errors.New("the lease was renewed too late: the machine's units may have been stopped")
		default:
			until = sent + ttl
			m.remember(lease, until)
			next.Reset(m.third())
			if m.stale && errors.Is(m.rewrite(ctx, lease), errElsewhere) {
				return errElsewhere
			}
			if m.Renewed != nil {
				m.Renewed()
			}
		}
	}
}

// renew makes one attempt to renew a lease, and returns the lease's time from now on.
func (m *Member) renew(ctx context.Context, lease clientv3.LeaseID, limit time.Duration) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	answer, err := m.Store.KeepAliveOnce(ctx, lease)
	if err != nil {
		return 0, err
	}
	return time.Duration(answer.TTL) * time.Second, nil
}

// extend returns the time until which a lease lasts that could not be renewed. It is later than
// before if the lease is about to end and etcd has no leader, which alone can end it.
func (m *Member) extend(ctx context.Context, lease clientv3.LeaseID, until time.Duration) time.Duration {
	now := m.Now()
	if m.NoLeader == nil || now >= until || until-now > m.third() {
		return until
	}
	ctx, stop := context.WithTimeout(ctx, min(m.question(), until-now))
	defer stop()
	if !m.NoLeader(ctx) {
		return until
	}
	until = max(until, now+m.third())
	slog.Warn("etcd has no leader: units go on running, as nobody can give them to another machine")
	m.remember(lease, until)
	return until
}
