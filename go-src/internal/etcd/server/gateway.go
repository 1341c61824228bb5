package server

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/tmc/grpc-websocket-proxy/wsproxy"
	etcdgw "go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	electiongw "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb/gw"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	lockgw "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb/gw"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	"coreos/internal/etcd/guard"
)

// gateway serves etcd's API as JSON over HTTP, and streams over websockets
// (https://etcd.io/docs/v3.7/dev-guide/api_grpc_gateway/). It is a client of two servers in this
// process: one for those whom the guard trusts, one for everybody else. What a client says of itself in
// headers does not count.
type gateway struct {
	guard *guard.Guard
	// ready is closed when the handlers are there.
	ready         chan struct{}
	trusted, open http.Handler
	servers       []*grpc.Server
}

func newGateway(g *guard.Guard) *gateway { return &gateway{guard: g, ready: make(chan struct{})} }

// start connects the gateway to the member.
func (g *gateway) start(s *etcdserver.EtcdServer) (err error) {
	if g.trusted, err = g.serve(s); err != nil {
		return err
	}
	if g.open, err = g.serve(s, g.guard.Options()...); err != nil {
		return err
	}
	close(g.ready)
	return nil
}

func (g *gateway) stop() {
	for _, s := range g.servers {
		s.Stop()
	}
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-g.ready:
	case <-r.Context().Done():
		return
	}
	if g.guard.Policy.Trusts(clientOf(r)) {
		g.trusted.ServeHTTP(w, r)
		return
	}
	g.open.ServeHTTP(w, r)
}

// clientOf returns the client of a request.
func clientOf(r *http.Request) *peer.Peer {
	client := new(peer.Peer)
	client.LocalAddr, _ = r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if address, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		client.Addr = net.TCPAddrFromAddrPort(address)
	}
	if r.TLS != nil {
		client.AuthInfo = credentials.TLSInfo{State: *r.TLS}
	}
	return client
}

// buffer is the size of the buffer of a connection in this process.
const buffer = 1 << 20

// serve starts a server in this process and returns a handler that calls it.
func (g *gateway) serve(s *etcdserver.EtcdServer, options ...grpc.ServerOption) (http.Handler, error) {
	server := v3rpc.Server(s, nil, nil, options...)
	client := v3client.New(s)
	v3electionpb.RegisterElectionServer(server, v3election.NewElectionServer(client))
	v3lockpb.RegisterLockServer(server, v3lock.NewLockServer(client))
	listener := bufconn.Listen(buffer)
	g.servers = append(g.servers, server)
	go func() { _ = server.Serve(listener) }() // until stop
	conn, err := grpc.NewClient("passthrough:///etcd",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, err
	}
	return handler(conn, s.Logger())
}

// handler returns a handler that translates requests for a connection.
func handler(conn *grpc.ClientConn, lg *zap.Logger) (http.Handler, error) {
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
	}}))
	var failed error
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		etcdgw.RegisterKVHandler, etcdgw.RegisterWatchHandler, etcdgw.RegisterLeaseHandler, etcdgw.RegisterClusterHandler,
		etcdgw.RegisterMaintenanceHandler, etcdgw.RegisterAuthHandler, lockgw.RegisterLockHandler, electiongw.RegisterElectionHandler,
	} {
		failed = errors.Join(failed, register(context.Background(), mux, conn))
	}
	// A stream over a websocket begins with a GET.
	post := func(_, out *http.Request) *http.Request {
		out.Method = http.MethodPost
		return out
	}
	return wsproxy.WebsocketProxy(mux, wsproxy.WithRequestMutator(post), wsproxy.WithMaxRespBodyBufferSize(math.MaxInt32), wsproxy.WithLogger(lg.Sugar())), failed
}
