package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const fleet = "/_coreos.com/fleet/v3/cluster/job/a"

// etcd is a member whose leases 1 and 2 have keys, 2 a protected one. What is asked of lease 3 fails.
type etcd struct{ auth bool }

func (e etcd) AuthEnabled() bool { return e.auth }

func (e etcd) Members() []Member { return nil }

func (e etcd) LeaseKeys(_ context.Context, id int64) ([][]byte, error) {
	switch id {
	case 1:
		return [][]byte{[]byte("/app")}, nil
	case 2:
		return [][]byte{[]byte("/app"), []byte(fleet)}, nil
	case 3:
		return nil, errors.New("no leader")
	}
	return nil, nil
}

// call is a request of a method, nil for streams, and the code of its answer to those who are not
// trusted.
type call struct {
	method  string
	request any
	want    codes.Code
}

const refused = codes.PermissionDenied

func key(s string) []byte { return []byte(s) }

var calls = []call{
	{"KV/Put", &pb.PutRequest{Key: key("/app")}, codes.OK},
	{"KV/Put", &pb.PutRequest{Key: key(fleet)}, refused},
	{"KV/Put", &pb.PutRequest{Key: key(fleet), Lease: 1, IgnoreValue: true}, refused},
	{"KV/DeleteRange", &pb.DeleteRangeRequest{Key: key("/app"), RangeEnd: key("/app0")}, codes.OK},
	{"KV/DeleteRange", &pb.DeleteRangeRequest{Key: key(fleet)}, refused},
	{"KV/DeleteRange", &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}, refused},
	{"KV/Txn", &pb.TxnRequest{Success: []*pb.RequestOp{put("/app"), reading(fleet, ""), deletion("/a", "/b")}}, codes.OK},
	{"KV/Txn", &pb.TxnRequest{Compare: []*pb.Compare{{Key: key(fleet)}}, Success: []*pb.RequestOp{put("/app")}}, codes.OK},
	{"KV/Txn", &pb.TxnRequest{Success: []*pb.RequestOp{put("/app"), put(fleet)}}, refused},
	{"KV/Txn", &pb.TxnRequest{Failure: []*pb.RequestOp{put(fleet)}}, refused},
	{"KV/Txn", &pb.TxnRequest{Success: []*pb.RequestOp{deletion("/", "\x00")}}, refused},
	{"KV/Txn", &pb.TxnRequest{Success: []*pb.RequestOp{nested([]*pb.RequestOp{put("/app")}, nil)}}, codes.OK},
	{"KV/Txn", &pb.TxnRequest{Success: []*pb.RequestOp{nested([]*pb.RequestOp{put(fleet)}, nil)}}, refused},
	{"KV/Txn", &pb.TxnRequest{Failure: []*pb.RequestOp{nested(nil, []*pb.RequestOp{nested(nil, []*pb.RequestOp{deletion(fleet, "")})})}}, refused},
	{"KV/Txn", &pb.TxnRequest{Success: []*pb.RequestOp{{}, nil}}, codes.OK}, // etcd refuses it
	{"KV/Range", &pb.RangeRequest{Key: key(fleet)}, codes.OK},
	{"KV/RangeStream", nil, codes.OK},
	{"KV/Compact", &pb.CompactionRequest{Revision: 1}, codes.OK},
	{"Watch/Watch", nil, codes.OK},
	{"Lease/LeaseGrant", &pb.LeaseGrantRequest{TTL: 5}, codes.OK},
	{"Lease/LeaseKeepAlive", nil, codes.OK},
	{"Lease/LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 2}, codes.OK},
	{"Lease/LeaseLeases", &pb.LeaseLeasesRequest{}, codes.OK},
	{"Lease/LeaseRevoke", &pb.LeaseRevokeRequest{ID: 1}, codes.OK},
	{"Lease/LeaseRevoke", &pb.LeaseRevokeRequest{ID: 2}, refused},
	{"Lease/LeaseRevoke", &pb.LeaseRevokeRequest{ID: 3}, codes.Unavailable},
	{"Lease/LeaseRevoke", &pb.LeaseRevokeRequest{ID: 4}, codes.OK}, // etcd says that there is none
	{"Cluster/MemberList", &pb.MemberListRequest{}, codes.OK},
	{"Cluster/MemberAdd", &pb.MemberAddRequest{PeerURLs: []string{"http://10.9.0.4:2380"}}, refused},
	{"Cluster/MemberRemove", &pb.MemberRemoveRequest{ID: 1}, refused},
	{"Cluster/MemberUpdate", &pb.MemberUpdateRequest{ID: 1}, refused},
	{"Cluster/MemberPromote", &pb.MemberPromoteRequest{ID: 1}, refused},
	{"Maintenance/Alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_GET}, codes.OK},
	{"Maintenance/Alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE}, refused},
	{"Maintenance/Alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE}, refused},
	{"Maintenance/Status", &pb.StatusRequest{}, codes.OK},
	{"Maintenance/Hash", &pb.HashRequest{}, codes.OK},
	{"Maintenance/HashKV", &pb.HashKVRequest{}, codes.OK},
	{"Maintenance/Defragment", &pb.DefragmentRequest{}, refused},
	{"Maintenance/Snapshot", nil, refused},
	{"Maintenance/MoveLeader", &pb.MoveLeaderRequest{}, refused},
	{"Maintenance/Downgrade", &pb.DowngradeRequest{}, refused},
	{"Auth/Authenticate", &pb.AuthenticateRequest{}, codes.OK},
	{"Auth/AuthStatus", &pb.AuthStatusRequest{}, codes.OK},
	{"Auth/AuthEnable", &pb.AuthEnableRequest{}, refused},
	{"Auth/AuthDisable", &pb.AuthDisableRequest{}, refused},
	{"Auth/UserAdd", &pb.AuthUserAddRequest{Name: "root"}, refused},
	{"Auth/UserGet", &pb.AuthUserGetRequest{}, refused},
	{"Auth/UserList", &pb.AuthUserListRequest{}, refused},
	{"Auth/UserDelete", &pb.AuthUserDeleteRequest{}, refused},
	{"Auth/UserChangePassword", &pb.AuthUserChangePasswordRequest{}, refused},
	{"Auth/UserGrantRole", &pb.AuthUserGrantRoleRequest{}, refused},
	{"Auth/UserRevokeRole", &pb.AuthUserRevokeRoleRequest{}, refused},
	{"Auth/RoleAdd", &pb.AuthRoleAddRequest{}, refused},
	{"Auth/RoleGet", &pb.AuthRoleGetRequest{}, refused},
	{"Auth/RoleList", &pb.AuthRoleListRequest{}, refused},
	{"Auth/RoleDelete", &pb.AuthRoleDeleteRequest{}, refused},
	{"Auth/RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{}, refused},
	{"Auth/RoleRevokePermission", &pb.AuthRoleRevokePermissionRequest{}, refused},
	{"/v3lockpb.Lock/Lock", &v3lockpb.LockRequest{Name: key("/app/lock")}, codes.OK},
	{"/v3lockpb.Lock/Lock", &v3lockpb.LockRequest{Name: key("/_coreos.com/fleet")}, refused},
	{"/v3lockpb.Lock/Lock", &v3lockpb.LockRequest{Name: key("/coreos.com")}, refused},
	{"/v3lockpb.Lock/Unlock", &v3lockpb.UnlockRequest{Key: key("/app/lock/1")}, codes.OK},
	{"/v3lockpb.Lock/Unlock", &v3lockpb.UnlockRequest{Key: key(fleet)}, refused},
	{"/v3electionpb.Election/Campaign", &v3electionpb.CampaignRequest{Name: key("/app/election")}, codes.OK},
	{"/v3electionpb.Election/Campaign", &v3electionpb.CampaignRequest{Name: key("/_coreos.com/fleet/v3")}, refused},
	{"/v3electionpb.Election/Proclaim", &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Name: key("/app"), Key: key("/app/1")}}, codes.OK},
	{"/v3electionpb.Election/Proclaim", &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Name: key("/app"), Key: key(fleet)}}, refused},
	{"/v3electionpb.Election/Resign", &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Key: key(fleet)}}, refused},
	{"/v3electionpb.Election/Resign", &v3electionpb.ResignRequest{}, codes.OK}, // etcd refuses it
	{"/v3electionpb.Election/Leader", &v3electionpb.LeaderRequest{Name: key(fleet)}, codes.OK},
	{"/v3electionpb.Election/Observe", nil, codes.OK},
	{"/grpc.health.v1.Health/Check", nil, codes.OK},
	{"/grpc.health.v1.Health/List", nil, codes.OK},
	{"/grpc.health.v1.Health/Watch", nil, codes.OK},
	{"/etcdserverpb.New/Thing", &pb.PutRequest{Key: key(fleet)}, refused},
	{"/etcdserverpb.New/Unknown", nil, refused},
}

func (c call) name() string {
	if strings.HasPrefix(c.method, "/") {
		return c.method
	}
	return "/etcdserverpb." + c.method
}

// ask makes the call as a client and returns its code.
func (c call) ask(g *Guard, client *peer.Peer) codes.Code {
	ctx := peer.NewContext(context.Background(), client)
	if c.request == nil {
		return status.Code(g.stream(nil, stream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: c.name()}, func(any, grpc.ServerStream) error { return nil }))
	}
	_, err := g.unary(ctx, c.request, &grpc.UnaryServerInfo{FullMethod: c.name()}, func(context.Context, any) (any, error) { return nil, nil })
	return status.Code(err)
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func guardOf(server Server) *Guard {
	return &Guard{Policy: Policy{Socket: "/run/etcd/etcd.sock", Protected: System}, Server: func() Server { return server }}
}

var container = &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2379}}

func TestCalls(t *testing.T) {
	socket := &peer.Peer{Addr: &net.UnixAddr{Net: "unix"}, LocalAddr: &net.UnixAddr{Net: "unix", Name: "/run/etcd/etcd.sock"}}
	for _, c := range calls {
		if got := c.ask(guardOf(etcd{}), container); got != c.want {
			t.Errorf("%s %v: %v, want %v", c.method, c.request, got, c.want)
		}
		if got := c.ask(guardOf(etcd{}), socket); got != codes.OK {
			t.Errorf("%s %v by the socket: %v", c.method, c.request, got)
		}
		if got := c.ask(guardOf(etcd{auth: true}), container); got != codes.OK {
			t.Errorf("%s %v with users of etcd: %v", c.method, c.request, got)
		}
		if got := c.ask(guardOf(nil), container); !open[c.name()] && got != codes.Unavailable {
			t.Errorf("%s %v before etcd runs: %v", c.method, c.request, got)
		}
	}
}

// TestAllMethods finds each method that etcd serves in calls.
func TestAllMethods(t *testing.T) {
	for _, service := range []grpc.ServiceDesc{
		pb.KV_ServiceDesc, pb.Watch_ServiceDesc, pb.Lease_ServiceDesc, pb.Cluster_ServiceDesc, pb.Maintenance_ServiceDesc, pb.Auth_ServiceDesc,
		v3lockpb.Lock_ServiceDesc, v3electionpb.Election_ServiceDesc, grpc_health_v1.Health_ServiceDesc,
	} {
		var names []string
		for _, m := range service.Methods {
			names = append(names, m.MethodName)
		}
		for _, s := range service.Streams {
			names = append(names, s.StreamName)
		}
		for _, name := range names {
			if !slices.ContainsFunc(calls, func(c call) bool { return c.name() == "/"+service.ServiceName+"/"+name }) {
				t.Errorf("nothing is said of /%s/%s", service.ServiceName, name)
			}
		}
	}
}

func TestTrusts(t *testing.T) {
	chain := func(name string) credentials.TLSInfo {
		return credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}}}}}}
	}
	tcp := func(address string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)) }
	networks, err := ParseNetworks([]string{"10.9.0.4", "10.9.1.0/24", "fd00::/64"})
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		client peer.Peer
		names  []string
		want   bool
	}{
		"loopback":                    {client: *container},
		"nobody":                      {},
		"another socket":              {client: peer.Peer{LocalAddr: &net.UnixAddr{Net: "unix", Name: "/run/other.sock"}}},
		"an abstract socket":          {client: peer.Peer{LocalAddr: &net.UnixAddr{Net: "unix", Name: "@/run/etcd/etcd.sock"}}},
		"a socket of the client":      {client: peer.Peer{Addr: &net.UnixAddr{Net: "unix", Name: "/run/etcd/etcd.sock"}}},
		"a certificate":               {client: peer.Peer{Addr: tcp("10.0.0.1:1"), AuthInfo: chain("node4")}, want: true},
		"TLS without a certificate":   {client: peer.Peer{Addr: tcp("10.0.0.1:1"), AuthInfo: credentials.TLSInfo{}}},
		"a certificate that is named": {client: peer.Peer{AuthInfo: chain("node4")}, names: []string{"node3", "node4"}, want: true},
		"a certificate of an app":     {client: peer.Peer{AuthInfo: chain("app")}, names: []string{"node4"}},
		"an address":                  {client: peer.Peer{Addr: tcp("10.9.0.4:1")}, want: true},
		"the next address":            {client: peer.Peer{Addr: tcp("10.9.0.5:1")}},
		"a network":                   {client: peer.Peer{Addr: tcp("10.9.1.200:1")}, want: true},
		"mapped to IPv6":              {client: peer.Peer{Addr: tcp("[::ffff:10.9.0.4]:1")}, want: true},
		"IPv6 with a zone":            {client: peer.Peer{Addr: tcp("[fd00::1%eth0]:1")}, want: true},
	} {
		p := Policy{Socket: "/run/etcd/etcd.sock", Names: test.names, Networks: networks}
		if got := p.Trusts(&test.client); got != test.want {
			t.Errorf("%s: %t", what, got)
		}
	}
	if new(Policy).Trusts(&peer.Peer{LocalAddr: &net.UnixAddr{Net: "unix"}}) {
		t.Error("without a socket, one without a name is trusted")
	}
	for _, bad := range []string{"10.9.0", "10.9.0.0/33", "node4"} {
		if _, err := ParseNetworks([]string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
