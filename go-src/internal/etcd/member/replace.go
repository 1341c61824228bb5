package member

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/settings"
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

	Name, PeerURL string // of this machine; if "", those of the settings
	Settings      *settings.Settings
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
	env := r.Settings
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
	reached := func(url string) bool { return !isLocal(url) && answers(ctx, url) }
	if err := checkPeers(cluster, dead, r.PeerURL, reached); err != nil {
		return err
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
func (r *Replacement) settle(env *settings.Settings) error {
	if r.Name == "" {
		r.Name = env.Get("ETCD_NAME")
	}
	if r.PeerURL == "" {
		r.PeerURL = env.Get("ETCD_INITIAL_ADVERTISE_PEER_URLS")
	}
	if r.Name == "" || strings.ContainsAny(r.Name, "=, \"'\\#;") {
		return fmt.Errorf("this machine's name as a member is %q: give one with --name, or ETCD_NAME in %s", r.Name, env.Path())
	}
	u, err := url.Parse(r.PeerURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Port() == "" || u.Path != "" {
		return fmt.Errorf("this machine's peer URL is %q: give one such as https://10.0.0.5:2380 with --peer-url, or ETCD_INITIAL_ADVERTISE_PEER_URLS in %s", r.PeerURL, env.Path())
	}
	if isLocal(r.PeerURL) {
		return fmt.Errorf("this machine's peer URL is %s, which the other members cannot reach", r.PeerURL)
	}
	if u.Scheme == "https" && env.Get("ETCD_PEER_CERT_FILE") == "" && env.Get("ETCD_PEER_AUTO_TLS") != "true" {
		return fmt.Errorf("%s has no ETCD_PEER_CERT_FILE for %s: make certificates with etcd-memberctl certs and copy them here", env.Path(), r.PeerURL)
	}
	return env.CanSet(written...)
}

// resumed returns the id of the dead member if its replacement was begun earlier.
func (r *Replacement) resumed(env *settings.Settings) (uint64, bool) {
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
