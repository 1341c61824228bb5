package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/settings"
)

// written are the variables that configure writes, or takes from etcd: it accepts only one way to
// find a cluster.
var written = []string{
	"ETCD_NAME", "ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE", "ETCD_INITIAL_ADVERTISE_PEER_URLS",
	"ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS", discovery + "*", forceNew,
}

const (
	discovery = "ETCD_DISCOVERY"
	forceNew  = "ETCD_FORCE_NEW_CLUSTER"
)

// configure writes the variables with which this machine joins the cluster. It keeps the
// variables for listening if the peer URL has not changed.
func (r *Replacement) configure(ctx context.Context, c *Cluster, env *settings.Settings, own uint64) error {
	var initial []string
	for _, m := range c.Members {
		name := m.Name
		if m.ID == own {
			name = r.Name
		} else if name == "" {
			name = fmt.Sprintf("%x", m.ID) // etcd compares only the URLs
		}
		for _, peer := range m.PeerURLs {
			initial = append(initial, name+"="+peer)
		}
	}
	moved := env.Get("ETCD_INITIAL_ADVERTISE_PEER_URLS") != r.PeerURL
	if err := errors.Join(env.Unset(discovery), env.Unset(forceNew)); err != nil {
		return err
	}
	values := [][2]string{
		{"ETCD_NAME", r.Name},
		{"ETCD_INITIAL_CLUSTER", strings.Join(initial, ",")},
		{"ETCD_INITIAL_CLUSTER_STATE", "existing"},
		{"ETCD_INITIAL_ADVERTISE_PEER_URLS", r.PeerURL},
	}
	address, err := listenAddress(ctx, r.PeerURL)
	if err != nil {
		return err
	}
	for _, v := range Listen(r.PeerURL, address, clientScheme(env)) {
		if moved || env.Get(v[0]) == "" {
			values = append(values, v)
		}
	}
	for _, v := range values {
		if err := env.Set(v[0], v[1]); err != nil {
			return err
		}
	}
	return env.Write()
}

func clientScheme(env *settings.Settings) string {
	if env.Get("ETCD_CERT_FILE") != "" || env.Get("ETCD_AUTO_TLS") == "true" {
		return "https"
	}
	return "http"
}

// listenAddress returns the address of this machine that the host of a URL names.
func listenAddress(ctx context.Context, peerURL string) (netip.Addr, error) {
	u, err := url.Parse(peerURL)
	if err != nil {
		return netip.Addr{}, err
	}
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		return address, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(addresses) == 0 {
		return netip.Addr{}, fmt.Errorf("address of this machine: %w; set ETCD_LISTEN_PEER_URLS, or give an address with --peer-url", err)
	}
	return addresses[0].Unmap(), nil
}

// Listen returns the variables for the addresses on which a member listens and for the URL
// that it advertises to clients. Listen addresses must be IP addresses. The client URL has
// the host of the peer URL and port 2379. Clients on the machine itself use conn.Default,
// without TLS.
func Listen(peerURL string, address netip.Addr, scheme string) [][2]string {
	u, err := url.Parse(peerURL)
	if err != nil {
		return nil
	}
	return [][2]string{
		{"ETCD_LISTEN_PEER_URLS", u.Scheme + "://" + net.JoinHostPort(address.String(), u.Port())},
		{"ETCD_LISTEN_CLIENT_URLS", scheme + "://" + net.JoinHostPort(address.String(), "2379") + "," + conn.Default},
		{"ETCD_ADVERTISE_CLIENT_URLS", scheme + "://" + net.JoinHostPort(u.Hostname(), "2379")},
	}
}
