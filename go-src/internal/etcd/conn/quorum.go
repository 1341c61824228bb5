package conn

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Quorum tells whether a cluster of etcd has a leader, which it cannot have without a
// majority of its members. It is to be used by one goroutine.
type Quorum struct {
	etcd *clientv3.Client
	// voters are those of the cluster's members that can elect a leader, as they were when
	// they were last asked for.
	voters []*pb.Member
}

// NewQuorum returns one of the cluster of a client.
func NewQuorum(etcd *clientv3.Client) *Quorum { return &Quorum{etcd: etcd} }

// Lost reports whether a majority of the members answer, before the context ends, and none
// of them has a leader. Members that cannot be reached may have one: nobody can tell. From
// when Lost is called until a new leader is elected no lease ends, and that gives each of
// them all its time again (Promote in server/lease/lessor.go of etcd).
func (q *Quorum) Lost(ctx context.Context) bool {
	voters := q.members(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan answer, len(voters))
	for _, m := range voters {
		go func() { answers <- q.ask(ctx, m) }()
	}
	without := 0
	for range voters {
		switch <-answers {
		case hasLeader:
			return false
		case noLeader:
			without++
		}
	}
	return without > len(voters)/2
}

type answer int

const (
	none answer = iota
	noLeader
	hasLeader
)

// ask asks a member for its leader. Another one may be at an address of it, such as
// localhost.
func (q *Quorum) ask(ctx context.Context, m *pb.Member) answer {
	for _, url := range m.ClientURLs {
		switch status, err := q.etcd.Status(ctx, url); {
		case err != nil || status.Header.MemberId != m.ID:
		case status.Leader == 0:
			return noLeader
		default:
			return hasLeader
		}
	}
	return none
}

// members are the voters as any member knows them: without a leader none can be sure.
func (q *Quorum) members(ctx context.Context) []*pb.Member {
	limit := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline) / 2 // what is left is for the members
	}
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	list, err := q.etcd.MemberList(ctx, clientv3.WithSerializable())
	if err == nil {
		q.voters = nil
		for _, m := range list.Members {
			if !m.IsLearner {
				q.voters = append(q.voters, m)
			}
		}
	}
	return q.voters
}
