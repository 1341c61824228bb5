// Package defrag defragments the database of etcd, which frees its unused space in the file
// system. It does one member of the cluster at a time, since a member does not answer
// meanwhile.
package defrag

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/member"
)

// Key is the prefix of the keys of the lock.
const Key = "/coreos.com/etcd-memberctl/defrag"

// leaseTime is the time after which the lock of a machine that died is released.
const leaseTime = 60 * time.Second

// Thresholds: the unused bytes, and their part of the file.
const (
	WorthBytes = 64 << 20
	WorthShare = 0.3
)

// Worth reports whether defragmenting a member frees enough to be worth the interruption.
func Worth(status *clientv3.StatusResponse) bool {
	unused := status.DbSize - status.DbSizeInUse
	return unused > WorthBytes && float64(unused) > WorthShare*float64(status.DbSize)
}

// Defrag defragments the member at the only endpoint of Etcd.
//
// If the member is the leader, it first transfers the leadership to the member that lags
// least. Otherwise no client could write until the other members have noticed and elected a
// leader.
type Defrag struct {
	Etcd conn.Config
	Data string        // its data directory, if that is on this machine
	Wait time.Duration // the longest time to wait for other members

	Force       bool // defragment even if it is not worth it
	WithoutLock bool // for a cluster at its quota, which refuses the lock
	Say         func(format string, args ...any)
}

// Run defragments, and returns when the member answers again. If the context ends, etcd
// still completes a defragmentation that has begun.
func (d *Defrag) Run(ctx context.Context) error {
	status, err := member.Status(ctx, d.Etcd, d.endpoint())
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", d.endpoint(), err)
	}
	if status.IsLearner {
		return errors.New("this member is a learner, and cannot be defragmented: etcd-memberctl replace gives it its vote")
	}
	if !d.Force && !d.WithoutLock && !Worth(status) {
		d.Say("not worth it: %d of %d MB are unused", (status.DbSize-status.DbSizeInUse)>>20, status.DbSize>>20)
		return nil
	}
	cluster, err := d.healthy(ctx, status.Header.MemberId)
	if err != nil {
		return err
	}
	if d.WithoutLock {
		return d.locked(ctx, status.Header.MemberId)
	}
	return d.withLock(ctx, cluster, status.Header.MemberId)
}

func (d *Defrag) endpoint() string { return d.Etcd.Endpoints[0] }

// healthy returns the cluster if all its members are healthy: a member that is being
// defragmented does not count for the quorum.
func (d *Defrag) healthy(ctx context.Context, own uint64) (*member.Cluster, error) {
	cluster, err := member.Survey(ctx, d.Etcd)
	if err != nil {
		return nil, err
	}
	for _, m := range cluster.Members {
		if !m.Healthy() && m.ID != own { // it was asked by its own endpoint
			return nil, fmt.Errorf("not defragmented, because a member of the cluster is not healthy: %v: %w", m, m.Err)
		}
	}
	alarms, err := member.Alarms(ctx, d.Etcd)
	if err != nil {
		return nil, fmt.Errorf("alarms: %w", err)
	}
	for _, alarm := range alarms {
		if alarm.Alarm == etcdserverpb.AlarmType_CORRUPT {
			return nil, fmt.Errorf("not defragmented, because the data of member %x are corrupt: replace it", alarm.MemberID)
		}
		if alarm.Alarm == etcdserverpb.AlarmType_NOSPACE && !d.WithoutLock {
			return nil, errors.New("the database has reached its quota, and takes no lock that would keep two members from being defragmented at the same time: " +
				"run etcd-memberctl defrag --without-lock on one machine after the other, then etcdctl alarm disarm")
		}
	}
	return cluster, nil
}

// withLock takes the lock with a lease that it renews through another member, if there is one: this
// member does not renew it while it is being defragmented. It takes the lock itself through this member,
// since without TLS only its socket takes changes of keys of the operating system.
func (d *Defrag) withLock(ctx context.Context, cluster *member.Cluster, own uint64) error {
	config := d.Etcd
	for _, m := range cluster.Members {
		if m.ID != own && !m.Learner {
			config.Endpoints = m.ClientURLs
			break
		}
	}
	other, err := conn.Dial(config)
	if err != nil {
		return err
	}
	defer func() { _ = other.Close() }()
	lease, err := concurrency.NewSession(other, concurrency.WithContext(ctx), concurrency.WithTTL(int(leaseTime/time.Second)))
	if err != nil {
		return fmt.Errorf("lock %s: %w", Key, err)
	}
	defer lease.Orphan() // after it was revoked
	client, err := conn.Dial(d.Etcd)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	session, err := concurrency.NewSession(client, concurrency.WithContext(ctx), concurrency.WithLease(lease.Lease()))
	if err != nil {
		return fmt.Errorf("lock %s: %w", Key, err)
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, Key)
	waiting, cancel := context.WithTimeout(ctx, d.Wait)
	defer cancel()
	if err := mutex.Lock(waiting); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("another member has held it for %v", d.Wait)
		}
		return fmt.Errorf("lock %s: %w", Key, err)
	}
	// The state may have changed during the wait.
	if _, err := d.healthy(ctx, own); err != nil {
		return err
	}
	err = d.locked(ctx, own)
	select {
	case <-lease.Done():
		d.Say("WARNING: the lock was lost: another member may have been defragmented at the same time")
	default:
	}
	return err
}

// locked defragments while the lock is held.
func (d *Defrag) locked(ctx context.Context, own uint64) error {
	before, err := member.Status(ctx, d.Etcd, d.endpoint())
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", d.endpoint(), err)
	}
	if d.Data != "" {
		// etcd writes a second database before it deletes the first one.
		if err := datadir.NeedRoom(d.Data, before.DbSizeInUse); err != nil {
			return fmt.Errorf("defragment: %w", err)
		}
	}
	client, err := conn.Dial(d.Etcd)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if before.Leader == own {
		if err := d.resign(ctx, client, own); err != nil {
			return err
		}
	}
	begin := time.Now()
	if _, err := client.Defragment(ctx, d.endpoint()); err != nil {
		return fmt.Errorf("defragment %s: %w", d.endpoint(), err)
	}
	took := time.Since(begin)
	// A linearizable read succeeds once the member has caught up.
	if _, err := client.Get(ctx, Key); err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) && !errors.Is(err, rpctypes.ErrUserEmpty) {
		return fmt.Errorf("%s does not answer after it was defragmented: %w", d.endpoint(), err)
	}
	after, err := client.Status(ctx, d.endpoint())
	if err != nil {
		return fmt.Errorf("%s does not answer after it was defragmented: %w", d.endpoint(), err)
	}
	d.Say("defragmented in %v: %.1f MB before, %.1f MB now", took.Round(time.Millisecond), mb(before.DbSize), mb(after.DbSize))
	return nil
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// resign transfers the leadership to another member, if there is one.
func (d *Defrag) resign(ctx context.Context, client *clientv3.Client, own uint64) error {
	cluster, err := member.Survey(ctx, d.Etcd)
	if err != nil {
		return err
	}
	var next *member.Member
	for i, m := range cluster.Members {
		if m.ID != own && !m.Learner && m.Healthy() && (next == nil || m.Status.RaftAppliedIndex > next.Status.RaftAppliedIndex) {
			next = &cluster.Members[i]
		}
	}
	if next == nil {
		return nil
	}
	moving, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	if _, err := client.MoveLeader(moving, next.ID); err != nil && !errors.Is(err, rpctypes.ErrNotLeader) {
		return fmt.Errorf("make %v the leader: %w", next, err)
	}
	d.Say("%v leads the cluster now", next)
	return nil
}
