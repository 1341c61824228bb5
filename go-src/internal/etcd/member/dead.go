package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// mustBeDead returns an error if anything of a member answers: its own status, or etcd
// at its URLs for peers, which may be open where those for clients are not.
func mustBeDead(ctx context.Context, m Member) error {
	if m.Status != nil {
		return fmt.Errorf("%v answers at %v: it is not dead; --force removes it all the same", m, m.ClientURLs)
	}
	for _, peer := range m.PeerURLs {
		if answers(ctx, peer) {
			return fmt.Errorf("%v answers its peers at %s: it is not dead, only its clients do not reach it; --force removes it all the same", m, peer)
		}
	}
	return nil
}

// answers says whether a server is at a URL: one that speaks TLS, or any HTTP. A
// connection alone proves nothing: the kernel of a machine whose etcd hangs takes it.
func answers(ctx context.Context, peer string) bool {
	u, err := url.Parse(peer)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if u.Scheme == "https" {
		// Whose certificate that is does not matter: something is alive there.
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

// again is the time between two looks at what has no event to wait for.
const again = time.Second
