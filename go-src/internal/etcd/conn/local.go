package conn

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Socket is the socket at which etcd-member.service serves those who may change the keys of the
// operating system: root, and the group etcd.
const Socket = "/run/etcd/etcd.sock"

// clientPort is the port of etcd's clients that is registered with IANA.
const clientPort = "2379"

// LocalAddress returns the address from which this machine reaches another address. It is the same
// address if that is one of this machine. Nothing is sent.
func LocalAddress(remote netip.Addr) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return local.Addr().Unmap()
}

// isLocal reports whether a URL is that of this machine's etcd, without TLS.
func isLocal(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || "http://"+u.Host != strings.TrimSuffix(endpoint, "/") || u.Port() != clientPort {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && (ip.IsLoopback() || LocalAddress(ip) == ip.Unmap())
}

// local returns those endpoints that are this machine's etcd, if there are any. The others, without
// TLS, would refuse to change the keys of the operating system.
func local(endpoints []string) (all []string) {
	for _, endpoint := range endpoints {
		switch {
		case isLocal(endpoint):
			all = append(all, strings.TrimSuffix(endpoint, "/"))
		case !strings.HasPrefix(endpoint, "http://"):
			return nil
		}
	}
	return all
}

// dialer returns a function that connects to an address. For those of endpoints it connects to a socket,
// unless there is none, or this process may not open it.
func dialer(endpoints []string, socket string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		if slices.Contains(endpoints, "http://"+address) {
			if c, err := new(net.Dialer).DialContext(ctx, "unix", socket); err == nil {
				return c, nil
			}
		}
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
}
