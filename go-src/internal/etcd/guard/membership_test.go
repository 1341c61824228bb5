package guard

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/peer"

	"coreos/internal/etcd/conn"
)

// TestMayJoin has a member at an address of this host. 192.0.2.1 is a machine that this host would reach
// from there.
func TestMayJoin(t *testing.T) {
	outside := netip.MustParseAddr("192.0.2.1")
	local := conn.LocalAddress(outside)
	if !local.IsValid() {
		t.Skip("this host has no route to others")
	}
	alive, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	self := Member{ID: 1, PeerURLs: []string{"http://" + netip.AddrPortFrom(local, 2380).String()}, Self: true}
	running := Member{ID: 2, PeerURLs: []string{"http://" + alive.Addr().String()}}
	dead := Member{ID: 3, PeerURLs: []string{"http://127.0.0.1:1"}}
	joined := Member{ID: 4, PeerURLs: []string{"http://192.0.2.1:2380"}}
	add := func(urls ...string) *pb.MemberAddRequest { return &pb.MemberAddRequest{PeerURLs: urls} }
	for what, test := range map[string]struct {
		members []Member
		source  string
		request any
		want    bool
	}{
		"itself":                        {[]Member{self}, "192.0.2.1", add("http://192.0.2.1:2380"), true},
		"another":                       {[]Member{self}, "192.0.2.1", add("http://192.0.2.2:2380"), false},
		"itself and another":            {[]Member{self}, "192.0.2.1", add("http://192.0.2.1:2380", "http://192.0.2.2:2380"), false},
		"by name":                       {[]Member{self}, "192.0.2.1", add("http://node4:2380"), false},
		"without URL":                   {[]Member{self}, "192.0.2.1", add(), false},
		"with TLS":                      {[]Member{self}, "192.0.2.1", add("https://192.0.2.1:2380"), false},
		"from a member":                 {[]Member{self, joined}, "192.0.2.1", add("http://192.0.2.1:9999"), false},
		"from this machine":             {[]Member{self}, local.String(), add("http://" + local.String() + ":9999"), false},
		"from loopback":                 {[]Member{self}, "127.0.0.1", add("http://127.0.0.1:9999"), false},
		"from a machine with TLS":       {[]Member{{ID: 1, PeerURLs: []string{strings.Replace(self.PeerURLs[0], "http", "https", 1)}, Self: true}}, "192.0.2.1", add("http://192.0.2.1:2380"), false},
		"from where no member is":       {[]Member{{ID: 1, PeerURLs: []string{"http://198.51.100.1:2380"}, Self: true}}, "192.0.2.1", add("http://192.0.2.1:2380"), false},
		"removal of a dead one":         {[]Member{self, dead}, "192.0.2.1", &pb.MemberRemoveRequest{ID: 3}, true},
		"removal of a live one":         {[]Member{self, running}, "192.0.2.1", &pb.MemberRemoveRequest{ID: 2}, false},
		"removal of none":               {[]Member{self}, "192.0.2.1", &pb.MemberRemoveRequest{ID: 9}, false},
		"removal by another member":     {[]Member{self, joined, dead}, "192.0.2.1", &pb.MemberRemoveRequest{ID: 3}, false},
		"promotion of itself":           {[]Member{self, joined}, "192.0.2.1", &pb.MemberPromoteRequest{ID: 4}, true},
		"promotion of another":          {[]Member{self, joined}, "192.0.2.1", &pb.MemberPromoteRequest{ID: 3}, false},
		"promotion by one that is none": {[]Member{self}, "192.0.2.1", &pb.MemberPromoteRequest{ID: 1}, false},
		"something else":                {[]Member{self, joined}, "192.0.2.1", &pb.MemberUpdateRequest{ID: 4}, false},
	} {
		client := &peer.Peer{Addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(test.source), 40000))}
		if got := mayJoin(t.Context(), test.members, client, test.request); got != test.want {
			t.Errorf("%s: %t", what, got)
		}
	}
}
