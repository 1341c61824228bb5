// Package etcdtest runs clusters of real etcd processes for tests, each member in a
// network namespace of its own, so that a test can kill, stop and cut off members as
// machines are.
//
// Needs root and iproute2; without root the test is skipped. All that a cluster made is
// gone after its test. What a killed test process could not clean up, the next one does.
package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Start is how long New waits for a cluster to answer.
const Start = 30 * time.Second

// poll is the pause between two checks of a condition that has no event.
const poll = 20 * time.Millisecond

// Option changes how members are run.
type Option func(*options)

type options struct {
	flags  []string
	binary string
}

// Flags gives every member more of etcd's flags; they win over those of this package.
func Flags(flags ...string) Option {
	return func(o *options) { o.flags = append(o.flags, flags...) }
}

// Binary is the server to run, in place of the product's; it has to know etcd's flags.
func Binary(path string) Option { return func(o *options) { o.binary = path } }

// NoFsync makes members write without fsync. Their data still outlive Kill, since the
// kernel has them.
func NoFsync() Option { return Flags("--unsafe-no-fsync") }

// Cluster is a running cluster.
type Cluster struct {
	network *network
	members []*Member
}

// New starts n members, at most MaxMembers, and waits until each of them answers.
func New(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.binary == "" {
		var err error
		if o.binary, err = etcd(); err != nil {
			t.Fatal(err)
		}
	}
	c := &Cluster{}
	var err error
	// Processes end before their namespaces are deleted: cleanups run in reverse order.
	if c.network, err = newNetwork(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.network.delete(); err != nil {
			t.Error(err)
		}
	})
	c.addMembers(t, n, o.binary, o.flags)
	for _, m := range c.members {
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), Start)
	defer cancel()
	if err := c.WaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Cluster) addMembers(t testing.TB, n int, binary string, flags []string) {
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("m%d=%s", i, c.network.url(i, peerPort))
	}
	initial := strings.Join(names, ",")
	for i := range n {
		m := &Member{index: i, network: c.network, binary: binary, dir: t.TempDir()}
		m.flags = append(m.ownFlags(initial), flags...)
		c.members = append(c.members, m)
		t.Cleanup(func() {
			_ = m.Kill()
			if t.Failed() {
				t.Logf("the end of member %d's log:\n%s", i, m.logTail(4<<10))
			}
		})
	}
}

// Member returns the member with that number, from 0.
func (c *Cluster) Member(i int) *Member { return c.members[i] }

// Len is the number of members, running or not.
func (c *Cluster) Len() int { return len(c.members) }

// Endpoint is the URL that clients use for a member.
func (c *Cluster) Endpoint(i int) string { return c.members[i].Endpoint() }

// Endpoints are the URLs of all members.
func (c *Cluster) Endpoints() []string {
	all := make([]string, len(c.members))
	for i, m := range c.members {
		all[i] = m.Endpoint()
	}
	return all
}

// Client returns a client of the given endpoints, or of all. It is closed after the test. A
// request without a time limit to a member that hangs takes up to 12 s, the least that gRPC
// allows.
func (c *Cluster) Client(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	if len(endpoints) == 0 {
		endpoints = c.Endpoints()
	}
	return Connect(t, endpoints...)
}

// Connect returns a client of an etcd that another process has started, that is closed
// after the test.
func Connect(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	client, err := newClient(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newClient(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          2 * time.Second,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		PermitWithoutStream:  true,
		Logger:               zap.NewNop(),
	})
}

// WaitHealthy waits until the members given, or all that run, serve a linearizable read.
// A write that is sent before may be lost in an election and hang for etcd's own
// time-out, 6 s.
func (c *Cluster) WaitHealthy(ctx context.Context, members ...int) error {
	if len(members) == 0 {
		for i, m := range c.members {
			if m.Running() {
				members = append(members, i)
			}
		}
	}
	for _, i := range members {
		if err := c.members[i].waitHealthy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Leader waits until a member that can be reached says that it is the leader, and returns
// its number. If several do, it is the one of the latest term.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	for {
		if i := c.leaderNow(ctx); i >= 0 {
			return i, nil
		}
		select {
		case <-ctx.Done():
			return -1, fmt.Errorf("no member of the cluster leads: %w", ctx.Err())
		case <-time.After(poll):
		}
	}
}

// leaderNow asks all members at once, so that one that hangs costs no more than the
// time-out.
func (c *Cluster) leaderNow(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	terms := make(chan [2]int, len(c.members))
	for _, m := range c.members {
		go func() {
			term, err := m.leads(ctx)
			if err != nil {
				term = 0
			}
			terms <- [2]int{m.index, term}
		}()
	}
	leader, latest := -1, 0
	for range c.members {
		if got := <-terms; got[1] > latest {
			leader, latest = got[0], got[1]
		}
	}
	return leader
}

var errNotRunning = errors.New("the member does not run")
