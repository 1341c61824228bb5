// Package defrag gives the space that etcd's database does not use back to the file
// system, one member of the cluster at a time: a member answers nothing meanwhile.
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

// Key is the prefix of the keys that order those that want to defragment.
const Key = "/coreos.com/etcd-memberctl/defrag"

// leaseTime is when the lock of a machine that died is free again.
const leaseTime = 60 * time.Second

// When it is worth it: that much is unused, in bytes and as a part of the file.
const (
	WorthBytes = 64 << 20
	WorthShare = 0.3
)

// Worth says whether a member gains enough for the time in which it does not answer.
func Worth(status *clientv3.StatusResponse) bool {
	unused := status.DbSize - status.DbSizeInUse
	return unused > WorthBytes && float64(unused) > WorthShare*float64(status.DbSize)
}

// Defrag defragments the member at the one endpoint of Etcd.
//
// A leader gives its office to another member first, the one that lags least: without
// that no one could write until the others have missed the leader and elected one.
type Defrag struct {
	Etcd conn.Config
	Data string        // its data directory, if that is on this machine
	Wait time.Duration // for others that defragment

	Force       bool // even if it is not worth it
	WithoutLock bool // for a cluster whose space is used up, which takes no lock
	Say         func(format string, args ...any)
}

// Run returns when the member answers again. The context bounds all of it; etcd itself
// goes on with a defragmentation that was begun.
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

// healthy returns the cluster if all its members are well, since while one is
// defragmented it does not count.
func (d *Defrag) healthy(ctx context.Context, own uint64) (*member.Cluster, error) {
	cluster, err := member.Survey(ctx, d.Etcd)
	if err != nil {
		return nil, err
	}
	for _, m := range cluster.Members {
		if !m.Healthy() && m.ID != own { // it was asked by its own endpoint
			return nil, fmt.Errorf("not while a member of the cluster is not well: %v: %w", m, m.Err)
		}
	}
	alarms, err := member.Alarms(ctx, d.Etcd)
	if err != nil {
		return nil, fmt.Errorf("alarms: %w", err)
	}
	for _, alarm := range alarms {
		if alarm.Alarm == etcdserverpb.AlarmType_CORRUPT {
			return nil, fmt.Errorf("not while the data of member %x are corrupt: replace it", alarm.MemberID)
		}
		if alarm.Alarm == etcdserverpb.AlarmType_NOSPACE && !d.WithoutLock {
			return nil, errors.New("the database has reached its quota, and takes no lock that would keep two members from being defragmented at the same time: " +
				"run etcd-memberctl defrag --without-lock on one machine after the other, then etcdctl alarm disarm")
		}
	}
	return cluster, nil
}

// withLock takes the lock by another member, if there is one, since this one will not
// prolong the lease while it is defragmented.
func (d *Defrag) withLock(ctx context.Context, cluster *member.Cluster, own uint64) error {
	config := d.Etcd
	for _, m := range cluster.Members {
		if m.ID != own && !m.Learner {
			config.Endpoints = m.ClientURLs
			break
		}
	}
	client, err := conn.Dial(config)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	session, err := concurrency.NewSession(client, concurrency.WithContext(ctx), concurrency.WithTTL(int(leaseTime/time.Second)))
	if err != nil {
		return fmt.Errorf("lock %s: %w", Key, err)
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, Key)
	waiting, cancel := context.WithTimeout(ctx, d.Wait)
	defer cancel()
	if err := mutex.Lock(waiting); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("another member had it for all of %v", d.Wait)
		}
		return fmt.Errorf("lock %s: %w", Key, err)
	}
	// What was seen before the wait is old.
	if _, err := d.healthy(ctx, own); err != nil {
		return err
	}
	err = d.locked(ctx, own)
	select {
	case <-session.Done():
		d.Say("WARNING: the lock was lost meanwhile: another member may have been defragmented at the same time")
	default:
	}
	return err
}

// locked defragments.
func (d *Defrag) locked(ctx context.Context, own uint64) error {
	before, err := member.Status(ctx, d.Etcd, d.endpoint())
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", d.endpoint(), err)
	}
	if d.Data != "" {
		// etcd writes a second database before it deletes the first.
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
	// A read that all agree on shows that it has caught up.
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

// resign makes another member the leader, if there is one.
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
