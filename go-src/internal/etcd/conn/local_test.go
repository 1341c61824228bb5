package conn

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
)

func TestLocalAddress(t *testing.T) {
	for _, own := range []string{"127.0.0.1", "127.1.2.3", "::1"} {
		if got := LocalAddress(netip.MustParseAddr(own)); !got.IsLoopback() {
			t.Errorf("%s: %v", own, got)
		}
	}
	outside := netip.MustParseAddr("192.0.2.1")
	own := LocalAddress(outside)
	if own == outside {
		t.Errorf("%v is taken for an address of this machine", outside)
	}
	if own.IsValid() && LocalAddress(own) != own {
		t.Errorf("%v is taken for that of another machine", own)
	}
}

func TestLocal(t *testing.T) {
	list := []string{"http://127.0.0.1:2379"}
	if own := LocalAddress(netip.MustParseAddr("192.0.2.1")); own.IsValid() {
		list = append(list, "http://"+netip.AddrPortFrom(own, 2379).String())
	}
	list = append(list, "http://localhost:2379", "http://[::1]:2379")
	if got := local(append([]string{"http://192.0.2.1:2379"}, list...)); !slices.Equal(got, list) {
		t.Errorf("got %v, want %v", got, list)
	}
	if got := local([]string{"http://127.0.0.1:2379/"}); !slices.Equal(got, list[:1]) {
		t.Errorf("with a slash: %v", got)
	}
	for _, others := range [][]string{
		nil, {"http://192.0.2.1:2379"}, {"https://127.0.0.1:2379"}, {"http://127.0.0.1:4001"}, {"unix:///run/other.sock"},
		{"http://127.0.0.1:2379", "https://192.0.2.1:2379"}, {"http://node1:2379"}, {"http://127.0.0.1:2379/path"}, {"http://me@127.0.0.1:2379"}, {"http://127.0.0.1"},
	} {
		if got := local(others); got != nil {
			t.Errorf("%v: %v", others, got)
		}
	}
}

// TestDialer has a socket and two addresses.
func TestDialer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	own, other := listen(t, "tcp", "127.0.0.1:0"), listen(t, "tcp", "127.0.0.1:0")
	dial := dialer([]string{"http://" + own}, socket)
	wants := func(address, network string) {
		t.Helper()
		c, err := dial(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.RemoteAddr().Network(); got != network {
			t.Errorf("%s: by %s, want %s", address, got, network)
		}
	}
	wants(own, "tcp") // there is no socket yet
	listen(t, "unix", socket)
	wants(own, "unix")
	wants(other, "tcp")
}

func listen(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}
