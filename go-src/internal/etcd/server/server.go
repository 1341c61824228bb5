// Package server runs etcd for this machine: upstream's, with the guard before everything that clients
// can call, and with a socket for those whom it trusts.
package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/pkg/v3/osutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/lease"
	"go.uber.org/zap"

	"coreos/internal/etcd/guard"
)

// Main runs the command etcd as this process.
func Main() {
	if len(os.Args) > 1 && (os.Args[1] == "gateway" || os.Args[1] == "grpc-proxy") {
		etcdmain.Main(os.Args)
		return
	}
	switch o, err := read(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		etcdmain.Main([]string{"etcd", "--help"})
	case errors.Is(err, errVersion):
		etcdmain.Main([]string{"etcd", "--version"})
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintf(os.Stderr, "etcd: %v; see etcd --help\n", err)
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintf(os.Stderr, "etcd: %v\n", err)
		os.Exit(1)
	default:
		run(o)
	}
}

// run runs etcd until it is stopped.
func run(o *options) {
	o.SetupGlobalLoggers()
	lg := o.GetLogger()
	m, err := start(o)
	if err != nil {
		lg.Error("etcd does not start", zap.Error(err))
		_ = lg.Sync()
		os.Exit(1)
	}
	osutil.RegisterInterruptHandler(m.stop)
	osutil.HandleInterrupts(lg)
	select {
	case <-m.etcd.Server.ReadyNotify():
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	case <-m.etcd.Server.StopNotify():
	}
	select {
	case err := <-m.etcd.Err():
		lg.Fatal("a listener has failed", zap.Error(err))
	case <-m.etcd.Server.StopNotify(): // also if this member was removed
	}
	osutil.Exit(0)
}

// machine is the member of this machine.
type machine struct {
	etcd    *embed.Etcd
	gateway *gateway // nil without a guard, or if there is to be none
}

// start starts etcd. Without a socket for trusted clients it is upstream's.
func start(o *options) (*machine, error) {
	if o.guard.Socket == "" {
		etcd, err := embed.StartEtcd(o.Config)
		return &machine{etcd: etcd}, err
	}
	var running atomic.Pointer[member]
	g := &guard.Guard{Policy: o.guard, Server: func() guard.Server {
		if m := running.Load(); m != nil {
			return m
		}
		return nil
	}}
	o.ListenClientUrls = append(o.ListenClientUrls, url.URL{Scheme: "unix", Path: o.guard.Socket})
	if o.alone() {
		o.ListenPeerUrls = nil // whoever speaks to it as a peer can write everything
	}
	o.GRPCAdditionalServerOptions = append(o.GRPCAdditionalServerOptions, g.Options()...)
	m := new(machine)
	if o.EnableGRPCGateway {
		// Upstream's gateway is a client of any of the listeners, and could be one that is trusted.
		o.EnableGRPCGateway = false
		m.gateway = newGateway(g)
		o.UserHandlers = map[string]http.Handler{"/v3/": m.gateway}
	}
	var err error
	if m.etcd, err = embed.StartEtcd(o.Config); err != nil {
		return nil, err
	}
	running.Store(&member{m.etcd.Server})
	if err = os.Chmod(o.guard.Socket, 0o660); err == nil && m.gateway != nil {
		err = m.gateway.start(m.etcd.Server)
	}
	if err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

// stop stops the gateway before the server that it calls.
func (m *machine) stop() {
	if m.gateway != nil {
		m.gateway.stop()
	}
	m.etcd.Close()
}

// member is the running member, as the guard sees it.
type member struct{ *etcdserver.EtcdServer }

// AuthEnabled implements guard.Server.
func (m *member) AuthEnabled() bool { return m.AuthStore().IsAuthEnabled() }

// leaseTime is the time limit of a question about a lease, which the leader answers.
const leaseTime = 5 * time.Second

// LeaseKeys implements guard.Server.
func (m *member) LeaseKeys(ctx context.Context, id int64) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	response, err := m.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true})
	if errors.Is(err, lease.ErrLeaseNotFound) {
		return nil, nil
	}
	return response.GetKeys(), err
}

// Members implements guard.Server.
func (m *member) Members() (all []guard.Member) {
	for _, one := range m.Cluster().Members() {
		all = append(all, guard.Member{ID: uint64(one.ID), PeerURLs: one.PeerURLs, Self: one.ID == m.MemberID()})
	}
	return all
}
