package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"coreos/internal/fleet/api"
	"coreos/internal/host/tlsroots"
)

// callerKey is the key of the caller's name in the context of a connection.
type callerKey struct{}

// Listeners returns the sockets that systemd has passed.
func Listeners() ([]net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	all = slices.DeleteFunc(all, func(l net.Listener) bool { return l == nil })
	if len(all) == 0 {
		slog.Warn("the API is not served: systemd passed no socket (see fleet.socket)")
	}
	return all, nil
}

// lent is a listener that stays open when its server is closed, for the next server. Close only
// ends the server's Accept.
type lent struct{ net.Listener }

func (l lent) Close() error { return l.deadline(time.Now()) }

func (l lent) deadline(t time.Time) error {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return nil
}

// taken is the field Taken of api.Config.
type taken = func(ctx context.Context, name string) (where string, err error)

// serve serves the API until the context ends. ended waits until no server uses the listeners any
// more: the deadline that ends one server would also end the next one.
func serve(ctx context.Context, listeners []net.Listener, cluster api.Cluster, taken taken, s Settings, m *Metrics) (ended func(), err error) {
	var all sync.WaitGroup
	for _, listener := range listeners {
		l := lent{listener}
		if err := l.deadline(time.Time{}); err != nil {
			return all.Wait, err
		}
		listener, err := secure(l, s.API)
		if err != nil {
			return all.Wait, err
		}
		server := &http.Server{
			Handler: m.handler(api.Handler(cluster, api.Config{By: by, Allow: s.API.allow, Taken: taken, PageSize: s.TokenLimit})),
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, callerKey{}, caller(c))
			},
			ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
		}
		all.Go(func() {
			<-ctx.Done()
			_ = server.Close()
		})
		all.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				slog.Warn("the API is no longer served", "on", listener.Addr(), "error", err)
			}
		})
	}
	return all.Wait, nil
}

// secure requires a certificate from callers over TCP.
func secure(listener net.Listener, s APISettings) (net.Listener, error) {
	if listener.Addr().Network() == "unix" {
		return listener, nil
	}
	if s.CertFile == "" {
		if s.Insecure {
			slog.Warn("everybody who reaches the address can change the cluster", "address", listener.Addr())
			return listener, nil
		}
		return nil, fmt.Errorf("fleet.socket listens on %s, and fleet.conf has no api_certfile, api_keyfile and api_cafile to protect it (api_insecure=true serves everybody)", listener.Addr())
	}
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate of the API: %w", err)
	}
	callers, err := tlsroots.Read(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authorities of the API's callers: %w", err)
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: callers, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}), nil
}

// caller returns the user at the other end of a unix socket; "" for other connections.
func caller(c net.Conn) string {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return "unknown"
	}
	id := strconv.Itoa(int(cred.Uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

// by returns the name of the caller: of its certificate, its user, or its address.
func by(r *http.Request) string {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	if name, _ := r.Context().Value(callerKey{}).(string); name != "" {
		return name
	}
	return r.RemoteAddr
}

// allow lets every caller with a certificate read, and only writers change something. Callers on
// the unix socket may do both.
func (s APISettings) allow(r *http.Request, write bool) error {
	if r.TLS == nil || !write || slices.Contains(s.Writers, "*") || slices.Contains(s.Writers, by(r)) {
		return nil
	}
	return fmt.Errorf("%s may read only: api_writers in fleet.conf names who may change the cluster", by(r))
}
