// Package guard decides who may change what in this machine's etcd. Whoever is trusted may do all that
// etcd allows: who opens the socket of the machine, or shows a certificate of the authority for
// clients. Everybody else has etcd for keys of their own: they may read all keys, and cannot change
// what the operating system keeps there, nor the members, the users and the state of etcd itself.
//
// If the operator has enabled etcd's own users and roles, these rule instead.
package guard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// System are the prefixes of the keys of the operating system: fleet's, those of locksmith
// (/coreos.com/updateengine), flannel (/coreos.com/network) and etcd-memberctl.
var System = []string{"/_coreos.com/", "/coreos.com/"}

// Policy says whom to trust and what is protected.
type Policy struct {
	// Socket is the path of the socket whose clients are trusted.
	Socket string
	// Names are the common names of the certificates that are trusted. Without names all are
	// that an authority for clients has issued.
	Names []string
	// Networks are the sources of connections that are trusted without a certificate.
	Networks []netip.Prefix
	// Protected are prefixes of keys that only trusted clients change.
	Protected []string
}

// ParseNetworks reads addresses and networks, such as 10.9.0.4 and 10.9.1.0/24.
func ParseNetworks(all []string) (networks []netip.Prefix, err error) {
	for _, text := range all {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, failed := netip.ParseAddr(text)
			if failed != nil {
				return nil, fmt.Errorf("%q is neither an address such as 10.9.0.4 nor a network such as 10.9.0.0/24", text)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// Trusts reports whether a client may change everything.
func (p *Policy) Trusts(client *peer.Peer) bool {
	if local, ok := client.LocalAddr.(*net.UnixAddr); ok && p.Socket != "" && local.Name == p.Socket {
		return true
	}
	if info, ok := client.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
		name := info.State.VerifiedChains[0][0].Subject.CommonName
		return len(p.Names) == 0 || slices.Contains(p.Names, name)
	}
	source := addressOf(client.Addr)
	return source.IsValid() && slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(source) })
}

// protects reports whether a range has a protected key. The directory of a prefix is protected, too:
// clients of the API v2 would not see what is in it if it were a file.
func (p *Policy) protects(r keyRange) bool {
	return slices.ContainsFunc(p.Protected, func(prefix string) bool {
		return r.overlaps(below(prefix)) || r.overlaps(rangeOf([]byte(strings.TrimSuffix(prefix, "/")), nil))
	})
}

// addressOf returns the IP address of a client or of a server, without a zone, which is not valid if
// it has none.
func addressOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	endpoint, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return endpoint.Addr().Unmap().WithZone("")
}
