package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/settings"
)

// remove removes the dead member, if it is still a member and still dead.
func (r *Replacement) remove(ctx context.Context, c *Cluster, id uint64) error {
	if r.Dead == "" {
		return nil
	}
	dead, err := c.Find(strconv.FormatUint(id, 16))
	if errors.Is(err, ErrNoMember) {
		return nil
	}
	if err == nil && !r.Force {
		err = mustBeDead(ctx, dead)
	}
	if err == nil {
		err = r.checkCluster(c, dead)
	}
	if err != nil {
		return err
	}
	err = r.retry(ctx, c.Answered, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberRemove(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil // an earlier attempt succeeded, but its answer was lost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove %v: %w", dead, err)
	}
	r.Say("removed %v", dead)
	return nil
}

// retries is the number of attempts to change the members. After a removal, etcd refuses
// changes until the other members have been connected for 5 seconds.
const retries = 15

// retry calls f until it succeeds or fails with a permanent error.
func (r *Replacement) retry(ctx context.Context, config conn.Config, f func(context.Context, *clientv3.Client) error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := with(ctx, config, f)
		if err != nil && !passes(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(again)), backoff.WithMaxTries(retries), backoff.WithNotify(Waiting(ctx, r.Say, "the change of the members")))
	return err
}

func passes(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || slices.ContainsFunc(
		[]error{rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotEnoughStarted, rpctypes.ErrNoLeader, rpctypes.ErrNotLeader, rpctypes.ErrLeaderChanged,
			rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost, rpctypes.ErrMemberLearnerNotReady},
		func(target error) bool { return errors.Is(err, target) })
}

// add adds this machine as a member, unless it is one, and returns its id.
func (r *Replacement) add(ctx context.Context, config conn.Config) (uint64, error) {
	c, err := Survey(ctx, config)
	if err != nil {
		return 0, err
	}
	if own := r.own(c); own != nil {
		return own.ID, nil
	}
	var id uint64
	err = r.retry(ctx, config, func(ctx context.Context, client *clientv3.Client) error {
		response, err := client.MemberAddAsLearner(ctx, []string{r.PeerURL})
		if err == nil {
			id = response.Member.ID
		}
		return err
	})
	if errors.Is(err, rpctypes.ErrPeerURLExist) { // an earlier attempt succeeded, but its answer was lost
		if c, err = Survey(ctx, config); err == nil && r.own(c) != nil {
			return r.own(c).ID, nil
		}
	}
	if errors.Is(err, rpctypes.ErrTooManyLearners) {
		err = fmt.Errorf("%w: promote or remove the learner of the cluster by etcdctl member promote or remove", err)
	}
	if err != nil {
		return 0, fmt.Errorf("add %s with %s: %w", r.Name, r.PeerURL, err)
	}
	r.Say("added %s (%x) at %s, without a vote for now", r.Name, id, r.PeerURL)
	return id, nil
}

// start writes the settings with which this machine joins, and starts etcd, unless that is
// done.
func (r *Replacement) start(ctx context.Context, env *settings.Settings, own uint64) error {
	c, err := Survey(ctx, r.Etcd)
	if err != nil {
		return err
	}
	if m, err := c.Find(strconv.FormatUint(own, 16)); err == nil && m.Name != "" && m.Healthy() {
		return nil
	}
	if err := r.configure(ctx, c, env, own); err != nil {
		return err
	}
	r.Say("wrote %s", env.Path())
	if r.Unit == nil {
		return ErrNotStarted
	}
	if err := r.Unit.Start(ctx); err != nil {
		return err
	}
	r.Say("started etcd, which is catching up: journalctl -f -u etcd-member")
	return nil
}

// promote waits until this machine is healthy and gives it its vote.
func (r *Replacement) promote(ctx context.Context, own uint64) error {
	var last error
	m, err := backoff.Retry(ctx, func() (m Member, err error) {
		m, err = r.tryPromote(ctx, own)
		last = err
		return m, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(again)), backoff.WithMaxElapsedTime(0), backoff.WithNotify(Waiting(ctx, r.Say, "this machine to become a healthy member that votes")))
	if err != nil { // the context's
		return fmt.Errorf("this machine is a member, but is not healthy or has no vote: %w; see journalctl -u etcd-member, and run this again", last)
	}
	r.Say("%v is healthy and votes", m)
	return nil
}

// errPromoted is the error until a survey confirms that the member has its vote.
var errPromoted = errors.New("its vote is not confirmed yet")

// tryPromote returns this machine as a member once it is healthy and has its vote. If it
// has none, tryPromote gives it its vote.
func (r *Replacement) tryPromote(ctx context.Context, own uint64) (Member, error) {
	c, err := Survey(ctx, r.Etcd)
	if err != nil {
		return Member{}, err
	}
	m, err := c.Find(strconv.FormatUint(own, 16))
	if err == nil {
		err = m.Err
	}
	if err != nil || !m.Learner {
		return m, err
	}
	err = with(ctx, c.Answered, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberPromote(ctx, own)
		return err
	})
	if err == nil || errors.Is(err, rpctypes.ErrMemberNotLearner) {
		err = errPromoted
	}
	return m, err
}
