package v2proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"coreos/internal/cli/redact"
	"coreos/internal/etcd/conn"
	"coreos/internal/host/tlsroots"
)

// Config is the configuration of a proxy.
type Config struct {
	// Listen are URLs: http://, https:// with a host and a port, or unix:// with a path.
	Listen []string
	// Endpoints are the URLs of the members of etcd. The scheme says whether to use TLS.
	Endpoints []string
	// Cert, Key and CACert are PEM files for the connection to etcd.
	Cert, Key, CACert string
	// ListenCert and ListenKey are PEM files for https. With ListenClientCA, clients need a
	// certificate of an authority in that file.
	ListenCert, ListenKey, ListenClientCA string
	// User and Password are those of etcd.
	User, Password string
	Limits         Limits
}

// largest is the size limit of a response of etcd: a page of the largest values.
const largest = 64 << 20

// NewClient returns a client of the cluster. It does not wait until it is connected.
func (c *Config) NewClient() (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints:            c.Endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		MaxCallRecvMsgSize:   largest,
		Username:             c.User,
		Password:             c.Password,
		Logger:               zap.NewNop(),
		DialOptions:          []grpc.DialOption{conn.Tracked()},
	}
	if c.Cert != "" || c.CACert != "" {
		var err error
		if config.TLS, err = clientTLS(c.Cert, c.Key, c.CACert); err != nil {
			return nil, err
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", strings.Join(redact.URLs(c.Endpoints), ","), err)
	}
	return client, nil
}

func clientTLS(cert, key, ca string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if ca != "" {
		pool, err := tlsroots.Read(ca)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		config.RootCAs = pool
	}
	return config, nil
}

// serverTLS returns nil if there is no certificate.
func (c *Config) serverTLS() (*tls.Config, error) {
	if c.ListenCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.ListenCert, c.ListenKey)
	if err != nil {
		return nil, fmt.Errorf("--listen-cert, --listen-key: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.ListenClientCA != "" {
		if config.ClientCAs, err = tlsroots.Read(c.ListenClientCA); err != nil {
			return nil, fmt.Errorf("--listen-client-ca: %w", err)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// listen listens on a URL of Listen.
func (c *Config) listen(raw string) (net.Listener, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("--listen %s is not a valid URL", redact.URL(raw))
	}
	switch u.Scheme {
	case "unix":
		return listenUnix(u.Host + u.Path)
	case "http":
		return net.Listen("tcp", u.Host)
	case "https":
		config, err := c.serverTLS()
		if err != nil {
			return nil, err
		}
		if config == nil {
			return nil, fmt.Errorf("--listen %s needs --listen-cert and --listen-key", raw)
		}
		return tls.Listen("tcp", u.Host, config)
	}
	return nil, fmt.Errorf("--listen %s: want http://HOST:PORT, https://HOST:PORT or unix:///PATH", raw)
}

// listenUnix listens on a unix socket, and replaces the file that an earlier proxy left.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("--listen: another process listens on %s", path)
		}
		_ = os.Remove(path)
	}
	return net.Listen("unix", path)
}

// Run serves until the context ends. Then requests may finish within the time limit of one,
// and waits end at once.
func Run(ctx context.Context, c *Config) error {
	if len(c.Listen) == 0 {
		return errors.New("give an address with --listen")
	}
	client, err := c.NewClient()
	if err != nil {
		return err
	}
	defer client.Close()
	requests, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := newServer(requests, Handler(NewStore(client), c.Limits))
	failed := make(chan error, len(c.Listen))
	for _, address := range c.Listen {
		l, err := c.listen(address)
		if err != nil {
			_ = server.Close()
			return err
		}
		slog.Info("serving etcd 2's API", "listen", address, "etcd", redact.URLs(c.Endpoints))
		go func() { failed <- server.Serve(l) }()
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	select {
	case err := <-failed:
		_ = server.Close()
		return err
	case <-ctx.Done():
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	stop, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	return server.Shutdown(stop)
}

// newServer limits the time of clients that send nothing. There is no limit for writes,
// since waits write nothing for minutes: see flush.
func newServer(ctx context.Context, handler http.Handler) *http.Server {
	waits, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("wait") == "" {
				handler.ServeHTTP(w, r)
				return
			}
			one, done := context.WithCancel(r.Context())
			defer done()
			defer context.AfterFunc(waits, done)()
			handler.ServeHTTP(w, r.WithContext(one))
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(cancel)
	return server
}
