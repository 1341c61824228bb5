package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/envfile"
)

// Replacement replaces a dead member by this machine, or adds this machine as a further
// member.
//
// The order is safe. First it checks everything that can be wrong, before it changes
// anything. Then it records the replacement as a comment in the environment file, so that
// an interrupted one continues when it is run again. It removes the dead member before it
// adds this machine: a dead member counts for the quorum, and etcd does not add a member
// while one is unhealthy. This machine joins as a learner, without a vote, so that the
// quorum does not change if it never starts. It gets its vote when it has caught up.
type Replacement struct {
	Etcd conn.Config // endpoints of live members, and certificates
	Dead string      // name or id; "" if this machine replaces no member

	Name, PeerURL string // of this machine; if "", those in the environment file
	EnvFile       string
	Data          datadir.Dir

	Force bool // remove the member even if it answers
	Wipe  bool // move data of an earlier membership aside
	Unit  Unit // nil: the operator starts etcd

	Now func() time.Time
	Say func(format string, args ...any) // prints a line about each step
}

// Unit is etcd-member.service.
type Unit interface {
	Active(context.Context) (bool, error)
	// Failing reports whether etcd is started again and again and does not become a member.
	Failing(context.Context) (bool, error)
	Start(context.Context) error
	Stop(context.Context) error
}

// ErrNotStarted says that everything is prepared and the operator has to start etcd, and
// then run the replacement again.
var ErrNotStarted = errors.New("this machine is a member that was not started: start etcd-member.service, and run this again to give it its vote")

// journal is the beginning of the comment that records the id and the name of the member
// that is being replaced.
const journal = "# etcd-memberctl replaces: "

// nobody is recorded if this machine replaces no member.
const nobody = "nobody"

// Run returns when this machine is a healthy voting member. The context limits the time to
// catch up.
func (r *Replacement) Run(ctx context.Context) error {
	env, err := envfile.Read(r.EnvFile)
	if err != nil {
		return err
	}
	if err := r.settle(env); err != nil {
		return err
	}
	dead, resumed := r.resumed(env)
	if !resumed {
		if err := r.quiet(ctx); err != nil {
			return err
		}
	}
	cluster, err := Survey(ctx, r.Etcd)
	if err != nil {
		return err
	}
	if !resumed {
		if done := r.done(cluster); done != nil {
			r.Say("%v is this machine, is healthy and votes: nothing to do", done)
			return nil
		}
		if dead, err = r.begin(ctx, cluster, env); err != nil {
			return err
		}
	} else {
		r.Say("continuing the replacement that was interrupted")
	}
	if err := r.remove(ctx, cluster, dead); err != nil {
		return err
	}
	own, err := r.add(ctx, cluster.Answered)
	if err != nil {
		return err
	}
	if err := r.start(ctx, env, own); err != nil {
		return err
	}
	if err := r.promote(ctx, own); err != nil {
		return err
	}
	env.SetComment(journal, "")
	return env.Write()
}

// settle determines the name and the peer URL of this machine.
func (r *Replacement) settle(env *envfile.File) error {
	if r.Name == "" {
		r.Name = env.Get("ETCD_NAME")
	}
	if r.PeerURL == "" {
		r.PeerURL = env.Get("ETCD_INITIAL_ADVERTISE_PEER_URLS")
	}
	if r.Name == "" || strings.ContainsAny(r.Name, "=, \"'\\#;") {
		return fmt.Errorf("this machine's name as a member is %q: give one with --name, or ETCD_NAME in %s", r.Name, r.EnvFile)
	}
	u, err := url.Parse(r.PeerURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Port() == "" || u.Path != "" {
		return fmt.Errorf("this machine's peer URL is %q: give one such as https://10.0.0.5:2380 with --peer-url, or ETCD_INITIAL_ADVERTISE_PEER_URLS in %s", r.PeerURL, r.EnvFile)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip.IsLoopback() || ip.IsUnspecified() {
		return fmt.Errorf("this machine's peer URL is %s, which the other members cannot reach", r.PeerURL)
	}
	if u.Scheme == "https" && env.Get("ETCD_PEER_CERT_FILE") == "" && env.Get("ETCD_PEER_AUTO_TLS") != "true" {
		return fmt.Errorf("%s has no ETCD_PEER_CERT_FILE for %s: make certificates with etcd-memberctl certs and copy them here", r.EnvFile, r.PeerURL)
	}
	return nil
}

// resumed returns the id of the dead member if its replacement was begun earlier.
func (r *Replacement) resumed(env *envfile.File) (uint64, bool) {
	text, name, _ := strings.Cut(env.Comment(journal), " ")
	if r.Dead == "" {
		return 0, text == nobody
	}
	id, err := strconv.ParseUint(text, 16, 64)
	return id, err == nil && (r.Dead == name || strings.EqualFold(strings.TrimLeft(r.Dead, "0"), text))
}

// done returns this machine as a member if the replacement was completed earlier.
func (r *Replacement) done(c *Cluster) *Member {
	own := r.own(c)
	there, _ := r.Data.HasData()
	if own == nil || own.Learner || !own.Healthy() || own.Name != r.Name || !there {
		return nil
	}
	if m, err := c.Find(r.Dead); err == nil && m.ID != own.ID {
		return nil
	}
	return own
}

// own returns this machine as a member, nil if it is none.
func (r *Replacement) own(c *Cluster) *Member {
	i := slices.IndexFunc(c.Members, func(m Member) bool { return slices.Contains(m.PeerURLs, r.PeerURL) })
	if i < 0 {
		return nil
	}
	return &c.Members[i]
}

// begin checks everything that can be wrong, and records that the replacement begins.
func (r *Replacement) begin(ctx context.Context, c *Cluster, env *envfile.File) (uint64, error) {
	dead := Member{Name: nobody, Learner: true} // has no vote, so its absence changes nothing
	if r.Dead != "" {
		var err error
		if dead, err = c.Find(r.Dead); err != nil {
			return 0, err
		}
	}
	if !r.Force {
		if err := mustBeDead(ctx, dead); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(r.checkCluster(c, dead), r.checkNames(c, dead), r.checkUnit(ctx)); err != nil {
		return 0, err
	}
	if err := r.clean(); err != nil {
		return 0, err
	}
	env.SetComment(journal, nobody)
	if r.Dead != "" {
		env.SetComment(journal, strings.TrimSpace(fmt.Sprintf("%x %s", dead.ID, dead.Name)))
	}
	return dead.ID, env.Write()
}

// checkCluster checks that the cluster keeps its quorum without the dead member.
func (r *Replacement) checkCluster(c *Cluster, dead Member) error {
	voters, healthy := c.Voters()
	if !dead.Learner {
		voters--
		if dead.Healthy() {
			healthy--
		}
	}
	if healthy < Quorum(voters) || voters == 0 {
		return fmt.Errorf("without %v the cluster has %d members that vote, of which %d are healthy, and it needs %d: bring back a member first, or restore a snapshot (etcd-memberctl restore)%s", dead, voters, healthy, Quorum(voters), c.sick(dead.ID))
	}
	return nil
}

// sick lists the errors of the other members.
func (c *Cluster) sick(but uint64) string {
	var text strings.Builder
	for _, m := range c.Members {
		if m.ID != but && !m.Healthy() {
			fmt.Fprintf(&text, "; %v: %v", m, m.Err)
		}
	}
	return text.String()
}

// checkNames checks that this machine is not confused with another member.
func (r *Replacement) checkNames(c *Cluster, dead Member) error {
	for _, m := range c.Members {
		if m.ID == dead.ID {
			continue
		}
		if m.Name == r.Name {
			return fmt.Errorf("%v has the name of this machine: give another one with --name", m)
		}
		if slices.Contains(m.PeerURLs, r.PeerURL) {
			return fmt.Errorf("%v has the peer URL of this machine, %s: replace that member, or give another URL with --peer-url", m, r.PeerURL)
		}
		if scheme, _, _ := strings.Cut(r.PeerURL, ":"); len(m.PeerURLs) > 0 && !strings.HasPrefix(m.PeerURLs[0], scheme+":") {
			return fmt.Errorf("%v has the peer URL %s and this machine %s: use one scheme for all members", m, m.PeerURLs[0], r.PeerURL)
		}
	}
	return nil
}

// quiet stops an etcd on this machine that starts again and again and cannot become the
// member that lost its disk. It would sometimes answer in the place of that member.
func (r *Replacement) quiet(ctx context.Context) error {
	if r.Unit == nil || !r.Wipe {
		return nil
	}
	failing, err := r.Unit.Failing(ctx)
	if err != nil || !failing {
		return err
	}
	r.Say("stopping etcd-member.service, which does not become a member")
	return r.Unit.Stop(ctx)
}

func (r *Replacement) checkUnit(ctx context.Context) error {
	if r.Unit == nil {
		return nil
	}
	active, err := r.Unit.Active(ctx)
	if err == nil && active {
		err = errors.New("etcd-member.service runs on this machine, which is to be a new member: run this on the new machine, or stop it first (systemctl stop etcd-member); --wipe does that if it does not become a member")
	}
	return err
}

// clean checks that this machine has no data of an earlier membership.
func (r *Replacement) clean() error {
	there, err := r.Data.HasData()
	if err != nil || !there {
		return err
	}
	if !r.Wipe {
		return fmt.Errorf("%s has data of an earlier membership of this machine: --wipe moves them aside", r.Data)
	}
	aside, err := r.Data.MoveAside(r.Now())
	if err == nil {
		r.Say("moved the former data to %s: delete them when the cluster works", aside)
	}
	return err
}

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
	}, backoff.WithBackOff(backoff.NewConstantBackOff(again)), backoff.WithMaxTries(retries))
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
func (r *Replacement) start(ctx context.Context, env *envfile.File, own uint64) error {
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
	r.Say("wrote %s", r.EnvFile)
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
	}, backoff.WithBackOff(backoff.NewConstantBackOff(again)), backoff.WithMaxElapsedTime(0))
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
