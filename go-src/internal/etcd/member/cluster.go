// Package member looks at the members of an etcd cluster and puts a new machine in
// the place of a dead one.
package member

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/conn"
)

// answerTime bounds one question to one member.
const answerTime = 5 * time.Second

// Member is a member of a cluster, and how it is.
type Member struct {
	ID                   uint64
	Name                 string // "" if it never started
	PeerURLs, ClientURLs []string
	Learner              bool

	Status *clientv3.StatusResponse // nil if it does not answer
	Err    error                    // why it does not answer, or is of no use
}

// Healthy says whether the member answers and has a leader.
func (m Member) Healthy() bool { return m.Err == nil }

// String is how messages call the member.
func (m Member) String() string {
	if m.Name == "" {
		return fmt.Sprintf("%x (never started)", m.ID)
	}
	return fmt.Sprintf("%s (%x)", m.Name, m.ID)
}

// Cluster is what a survey found.
type Cluster struct {
	ID      uint64
	Members []Member
	// Answered is the configuration with the one endpoint that listed the members.
	Answered conn.Config
}

// Survey asks the first endpoint that answers for the members, which it does only while
// the cluster has a quorum, and each of them for its status.
func Survey(ctx context.Context, config conn.Config) (*Cluster, error) {
	var failed error
	for _, endpoint := range config.Endpoints {
		one := config
		one.Endpoints = []string{endpoint}
		list, err := list(ctx, one)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", endpoint, err))
			continue
		}
		c := &Cluster{ID: list.Header.ClusterId, Answered: one}
		for _, m := range list.Members {
			c.Members = append(c.Members, Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, Learner: m.IsLearner})
		}
		c.ask(ctx, config)
		return c, nil
	}
	return nil, fmt.Errorf("no list of the members: the endpoint does not answer or the cluster has no quorum: %w", failed)
}

func list(ctx context.Context, config conn.Config) (list *clientv3.MemberListResponse, err error) {
	err = with(ctx, config, func(ctx context.Context, client *clientv3.Client) (err error) {
		list, err = client.MemberList(ctx)
		return err
	})
	return list, err
}

// with calls f with a client, for answerTime at most.
func with(ctx context.Context, config conn.Config, f func(context.Context, *clientv3.Client) error) error {
	client, err := conn.Dial(config)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return f(ctx, client)
}

// ask asks all members at once.
func (c *Cluster) ask(ctx context.Context, config conn.Config) {
	var wait sync.WaitGroup
	for i := range c.Members {
		wait.Go(func() { c.Members[i].ask(ctx, config) })
	}
	wait.Wait()
}

func (m *Member) ask(ctx context.Context, config conn.Config) {
	m.Err = errors.New("it has told no URL for clients")
	for _, url := range m.ClientURLs {
		status, err := Status(ctx, config, url)
		switch {
		case err != nil:
			m.Err = fmt.Errorf("%s: %w", url, err)
		case status.Header.MemberId != m.ID:
			m.Err = fmt.Errorf("at %s another member answers: %x", url, status.Header.MemberId)
		case status.Leader == 0:
			m.Status, m.Err = status, errors.New("it has no leader")
			return
		default:
			m.Status, m.Err = status, nil
			return
		}
	}
}

// Status asks one member, by one endpoint.
func Status(ctx context.Context, config conn.Config, endpoint string) (status *clientv3.StatusResponse, err error) {
	config.Endpoints = []string{endpoint}
	err = with(ctx, config, func(ctx context.Context, client *clientv3.Client) (err error) {
		status, err = client.Status(ctx, endpoint)
		return err
	})
	return status, err
}

// Alarms asks for the alarms of all members.
func Alarms(ctx context.Context, config conn.Config) (alarms []*etcdserverpb.AlarmMember, err error) {
	err = with(ctx, config, func(ctx context.Context, client *clientv3.Client) error {
		response, err := client.AlarmList(ctx)
		if err == nil {
			alarms = response.Alarms
		}
		return err
	})
	return alarms, err
}

// ErrNoMember says that the cluster has no such member.
var ErrNoMember = errors.New("the cluster has no such member")

// Find returns the member with that name, or with that id in hexadecimal.
func (c *Cluster) Find(nameOrID string) (Member, error) {
	var found []Member
	id, err := strconv.ParseUint(nameOrID, 16, 64)
	for _, m := range c.Members {
		if err == nil && m.ID == id {
			return m, nil
		}
		if m.Name == nameOrID && m.Name != "" {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return Member{}, fmt.Errorf("%q: %w; it has %v", nameOrID, ErrNoMember, c.Members)
	case 1:
		return found[0], nil
	}
	return Member{}, fmt.Errorf("%d members are called %q: give the id: %v", len(found), nameOrID, found)
}

// Voters counts the members that vote, and those of them that are healthy.
func (c *Cluster) Voters() (all, healthy int) {
	for _, m := range c.Members {
		if !m.Learner {
			all++
			if m.Healthy() {
				healthy++
			}
		}
	}
	return all, healthy
}

// Quorum is how many of that many voters must be there.
func Quorum(voters int) int { return voters/2 + 1 }
