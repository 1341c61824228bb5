package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coreos/internal/etcd/settings"
)

// begin checks everything that can be wrong, and records that the replacement begins.
func (r *Replacement) begin(ctx context.Context, c *Cluster, env *settings.Settings) (uint64, error) {
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
