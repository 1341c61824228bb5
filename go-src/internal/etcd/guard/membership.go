package guard

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/peer"

	"coreos/internal/etcd/conn"
)

// Member is a member of the cluster.
type Member struct {
	ID       uint64
	PeerURLs []string
	// Self says that it is this member.
	Self bool
}

// mayJoin reports whether a machine without a certificate may make a change that it needs to become a
// member: add itself, take over from a dead member, get its vote. That is possible only if the members
// themselves speak without TLS, since then nothing but its address tells a machine from others. A
// process on a machine that is a member already has no such right, nor has a container in a network of
// this machine.
func mayJoin(ctx context.Context, members []Member, client *peer.Peer, request any) bool {
	source := addressOf(client.Addr)
	if !source.IsValid() || source.IsLoopback() || !plain(members) || !fromPeers(members, source) {
		return false
	}
	own := slices.IndexFunc(members, func(m Member) bool { return m.at(source) })
	switch r := request.(type) {
	case *pb.MemberAddRequest:
		added := Member{PeerURLs: r.GetPeerURLs()}
		return own < 0 && len(added.PeerURLs) > 0 && plain([]Member{added}) && added.onlyAt(source)
	case *pb.MemberPromoteRequest:
		return own >= 0 && members[own].ID == r.GetID()
	case *pb.MemberRemoveRequest:
		removed := slices.IndexFunc(members, func(m Member) bool { return m.ID == r.GetID() })
		return removed >= 0 && (own < 0 || own == removed) && !members[removed].answers(ctx)
	}
	return false
}

// fromPeers reports whether an address is that of another machine to which this member speaks from the
// address of its peer URL. A container on this machine is reached from the address of its bridge.
func fromPeers(members []Member, source netip.Addr) bool {
	local := conn.LocalAddress(source)
	return local.IsValid() && local != source && slices.ContainsFunc(members, func(m Member) bool { return m.Self && m.at(local) })
}

// plain reports whether all members have peer URLs without TLS only.
func plain(members []Member) bool {
	for _, m := range members {
		for _, address := range m.PeerURLs {
			if u, err := url.Parse(address); err != nil || u.Scheme != "http" {
				return false
			}
		}
	}
	return true
}

// at reports whether a peer URL of the member has an address.
func (m Member) at(address netip.Addr) bool {
	return slices.ContainsFunc(m.PeerURLs, func(u string) bool { return hostOf(u) == address })
}

// onlyAt reports whether all peer URLs of the member have an address.
func (m Member) onlyAt(address netip.Addr) bool {
	return !slices.ContainsFunc(m.PeerURLs, func(u string) bool { return hostOf(u) != address })
}

// hostOf returns the address in a URL, which is not valid if the URL has a name.
func hostOf(address string) netip.Addr {
	u, err := url.Parse(address)
	if err != nil {
		return netip.Addr{}
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return ip.Unmap()
}

// deadAfter is how long a member that is to be removed has to accept a connection.
const deadAfter = 2 * time.Second

// answers reports whether the member accepts connections of peers.
func (m Member) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, deadAfter)
	defer cancel()
	return slices.ContainsFunc(m.PeerURLs, func(address string) bool {
		u, err := url.Parse(address)
		if err != nil {
			return false
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}
