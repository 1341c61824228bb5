package conn

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Quorum finds out whether a cluster of etcd has lost its quorum. It is for use by one
// goroutine.
type Quorum struct {
	etcd *clientv3.Client
	// voters are the voting members of the cluster, as last known.
	voters []*pb.Member
}

// NewQuorum returns the Quorum of the cluster that a client is connected to.
func NewQuorum(etcd *clientv3.Client) *Quorum { return &Quorum{etcd: etcd} }

// Lost reports whether a majority of the members answer before the context ends and none of
// them has a leader. Members that cannot be reached may have a leader, which is then not
// known. While Lost is true, no lease expires until a new leader is elected, and the new
// leader gives each lease its full time again (Promote in server/lease/lessor.go of etcd).
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

// ask asks a member for its leader. Another member may answer at an address such as
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

// members returns the voters as any member knows them: without a leader, none can be sure.
func (q *Quorum) members(ctx context.Context) []*pb.Member {
	limit := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline) / 2 // the rest is for asking the members
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
