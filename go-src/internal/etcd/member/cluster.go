// Package member describes the members of an etcd cluster, and replaces a dead member by a
// new machine.
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

// answerTime is the time limit of a request to a member.
const answerTime = 5 * time.Second

// Member is a member of a cluster with its status.
type Member struct {
	ID                   uint64
	Name                 string // "" if it never started
	PeerURLs, ClientURLs []string
	Learner              bool

	Status *clientv3.StatusResponse // nil if it does not answer
	Err    error                    // why it does not answer or is not healthy
}

// Healthy reports whether the member answers and has a leader.
func (m Member) Healthy() bool { return m.Err == nil }

// String returns the name of the member in messages.
func (m Member) String() string {
	if m.Name == "" {
		return fmt.Sprintf("%x (never started)", m.ID)
	}
	return fmt.Sprintf("%s (%x)", m.Name, m.ID)
}

// Cluster is the result of a survey.
type Cluster struct {
	ID      uint64
	Members []Member
	// Answered is the configuration with only the endpoint that listed the members.
	Answered conn.Config
}

// Survey gets the list of members from the first endpoint that answers, which needs a
// quorum, and the status of each member.
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
	return nil, fmt.Errorf("the members are not known: the endpoint does not answer or the cluster has no quorum: %w", failed)
}

func list(ctx context.Context, config conn.Config) (list *clientv3.MemberListResponse, err error) {
	err = with(ctx, config, func(ctx context.Context, client *clientv3.Client) (err error) {
		list, err = client.MemberList(ctx)
		return err
	})
	return list, err
}

// with calls f with a client and the time limit answerTime.
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

// ask asks all members concurrently for their status.
func (c *Cluster) ask(ctx context.Context, config conn.Config) {
	var wait sync.WaitGroup
	for i := range c.Members {
		wait.Go(func() { c.Members[i].ask(ctx, config) })
	}
	wait.Wait()
}

func (m *Member) ask(ctx context.Context, config conn.Config) {
	m.Err = errors.New("it advertises no client URL")
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

// Status gets the status of the member at an endpoint.
func Status(ctx context.Context, config conn.Config, endpoint string) (status *clientv3.StatusResponse, err error) {
	config.Endpoints = []string{endpoint}
	err = with(ctx, config, func(ctx context.Context, client *clientv3.Client) (err error) {
		status, err = client.Status(ctx, endpoint)
		return err
	})
	return status, err
}

// Alarms returns the alarms of all members.
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

// Find returns the member with a name, or with an id in hexadecimal.
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

// Voters returns the number of voting members, and how many of them are healthy.
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

// Quorum returns how many voters make a quorum.
func Quorum(voters int) int { return voters/2 + 1 }
