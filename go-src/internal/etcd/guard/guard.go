package guard

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Server is what the guard asks the member of etcd.
type Server interface {
	// AuthEnabled reports whether etcd's own users and roles rule.
	AuthEnabled() bool
	// LeaseKeys returns the keys on a lease, none if there is no such lease.
	LeaseKeys(ctx context.Context, id int64) ([][]byte, error)
	// Members returns the members of the cluster.
	Members() []Member
}

// Guard decides about each request of clients.
type Guard struct {
	Policy Policy
	// Server returns nil until the member runs.
	Server func() Server
}

// Options are those of a gRPC server that the guard stands before. They do not replace the
// interceptors that the server has.
func (g *Guard) Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream)}
}

func (g *Guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := g.check(ctx, info.FullMethod, request); err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

func (g *Guard) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := g.check(stream.Context(), info.FullMethod, nil); err != nil {
		return err
	}
	return handler(server, stream)
}

// open are the methods that everybody may call: they change nothing, or only what belongs to the
// caller. Compact takes history from watchers, who have to be ready for it. LeaseKeepAlive can
// prolong the lease of another, and machines without a certificate need it while a cluster is updated
// machine by machine.
var open = map[string]bool{
	"/etcdserverpb.KV/Range":              true,
	"/etcdserverpb.KV/RangeStream":        true,
	"/etcdserverpb.KV/Compact":            true,
	"/etcdserverpb.Watch/Watch":           true,
	"/etcdserverpb.Lease/LeaseGrant":      true,
	"/etcdserverpb.Lease/LeaseKeepAlive":  true,
	"/etcdserverpb.Lease/LeaseTimeToLive": true,
	"/etcdserverpb.Lease/LeaseLeases":     true,
	"/etcdserverpb.Cluster/MemberList":    true,
	"/etcdserverpb.Maintenance/Status":    true,
	"/etcdserverpb.Maintenance/Hash":      true,
	"/etcdserverpb.Maintenance/HashKV":    true,
	"/etcdserverpb.Auth/Authenticate":     true,
	"/etcdserverpb.Auth/AuthStatus":       true,
	"/v3electionpb.Election/Leader":       true,
	"/v3electionpb.Election/Observe":      true,
	"/grpc.health.v1.Health/Check":        true,
	"/grpc.health.v1.Health/Watch":        true,
	"/grpc.health.v1.Health/List":         true,
}

// check returns an error if a client may not call a method. request is nil for streams.
func (g *Guard) check(ctx context.Context, method string, request any) error {
	if open[method] {
		return nil
	}
	client, ok := peer.FromContext(ctx)
	if ok && g.Policy.Trusts(client) {
		return nil
	}
	server := g.Server()
	switch {
	case server == nil:
		return status.Error(codes.Unavailable, "etcd is starting")
	case server.AuthEnabled():
		return nil
	}
	if !ok {
		client = &peer.Peer{}
	}
	return g.judge(ctx, server, client, method, request)
}

// judge returns an error unless somebody who is not trusted may make a request.
func (g *Guard) judge(ctx context.Context, server Server, client *peer.Peer, method string, request any) error {
	switch r := request.(type) {
	case *pb.PutRequest:
		return g.change(rangeOf(r.GetKey(), nil))
	case *pb.DeleteRangeRequest:
		return g.change(rangeOf(r.GetKey(), r.GetRangeEnd()))
	case *pb.TxnRequest:
		if changed(r.GetSuccess(), g.Policy.protects) || changed(r.GetFailure(), g.Policy.protects) {
			return g.refusal("a transaction may not change keys of the operating system")
		}
		return nil
	case *v3lockpb.LockRequest:
		return g.change(below(string(r.GetName()) + "/"))
	case *v3lockpb.UnlockRequest:
		return g.change(rangeOf(r.GetKey(), nil))
	case *v3electionpb.CampaignRequest:
		return g.change(below(string(r.GetName()) + "/"))
	case *v3electionpb.ProclaimRequest:
		return g.change(rangeOf(r.GetLeader().GetKey(), nil))
	case *v3electionpb.ResignRequest:
		return g.change(rangeOf(r.GetLeader().GetKey(), nil))
	case *pb.LeaseRevokeRequest:
		return g.revoke(ctx, server, r.GetID())
	case *pb.AlarmRequest:
		if r.GetAction() == pb.AlarmRequest_GET {
			return nil
		}
	case *pb.MemberAddRequest, *pb.MemberRemoveRequest, *pb.MemberPromoteRequest:
		if mayJoin(ctx, server.Members(), client, request) {
			return nil
		}
	}
	return g.refusal(method[strings.LastIndex(method, "/")+1:] + " is not for everybody")
}

func (g *Guard) change(r keyRange) error {
	if g.Policy.protects(r) {
		return g.refusal("keys of the operating system are read-only")
	}
	return nil
}

// revoke protects the lease of protected keys, which would end with it.
func (g *Guard) revoke(ctx context.Context, server Server, id int64) error {
	keys, err := server.LeaseKeys(ctx, id)
	if err != nil {
		return status.Errorf(codes.Unavailable, "the keys of lease %x are not known: %v", id, err)
	}
	for _, key := range keys {
		if g.Policy.protects(rangeOf(key, nil)) {
			return g.refusal("the lease has keys of the operating system")
		}
	}
	return nil
}

// refusal says what the client can do.
func (g *Guard) refusal(what string) error {
	return status.Errorf(codes.PermissionDenied, "%s without a client certificate: use one, or unix://%s on a machine with etcd (docs/etcd.md)", what, g.Policy.Socket)
}
