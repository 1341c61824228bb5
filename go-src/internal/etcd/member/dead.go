package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mustBeDead returns an error if a member answers at its client URLs or at its peer URLs,
// which may be reachable when the client URLs are not.
func mustBeDead(ctx context.Context, m Member) error {
	if m.Status != nil {
		return fmt.Errorf("%v answers at %v: it is not dead; --force removes it anyway", m, m.ClientURLs)
	}
	for _, peer := range m.PeerURLs {
		if answers(ctx, peer) {
			return fmt.Errorf("%v answers at its peer URL %s: it is not dead, only its client URLs are not reachable; --force removes it anyway", m, peer)
		}
	}
	return nil
}

// checkPeers returns an error if the peers of a live member cannot reach it from this machine: etcd
// here would wait for it without end. dead is the id of a member that does not matter, own the peer
// URL of this machine.
func checkPeers(c *Cluster, dead uint64, own string, reached func(url string) bool) error {
	for _, m := range c.Members {
		if m.ID == dead || !m.Healthy() || slices.Contains(m.PeerURLs, own) || slices.ContainsFunc(m.PeerURLs, reached) {
			continue
		}
		return fmt.Errorf("%v has the peer URL %s, at which this machine does not reach it: correct it there with etcdctl member update %x --peer-urls=URL, or open the way to its port",
			m, strings.Join(m.PeerURLs, ","), m.ID)
	}
	return nil
}

// isLocal reports whether only the machine itself reaches a URL.
func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback() || ip.IsUnspecified()
}

// answers reports whether a server at a URL speaks TLS or any HTTP. A connection proves
// nothing, since the kernel accepts it even if etcd hangs.
func answers(ctx context.Context, peer string) bool {
	u, err := url.Parse(peer)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := (&net.Dialer{Control: mark}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if u.Scheme == "https" {
		// The certificate does not matter: something answers.
		err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) //nolint:gosec
		var alert *net.OpError
		var noTLS tls.RecordHeaderError
		return err == nil || errors.As(err, &noTLS) || errors.As(err, &alert) && alert.Op == "remote error"
	}
	if _, err := fmt.Fprintf(conn, "GET /version HTTP/1.0\r\nHost: %s\r\n\r\n", u.Host); err != nil {
		return false
	}
	n, _ := conn.Read(make([]byte, 1))
	return n > 0
}

// peerMark is the mark of connections to peers that the firewall of etcd-member.service lets through.
const peerMark = 0xe7cd

// mark marks a connection, for which it needs CAP_NET_ADMIN. Without that the firewall decides.
func mark(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, peerMark) })
}

// again is the pause between two attempts.
const again = time.Second
