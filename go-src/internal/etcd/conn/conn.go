// Package conn connects to etcd. Its flags are those of locksmith and fleet: --endpoint,
// --etcd-cafile, --etcd-certfile, --etcd-keyfile, --etcd-username, --etcd-password.
package conn

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"coreos/internal/cli/redact"
)

// Config has the endpoints of etcd and the credentials.
type Config struct {
	Endpoints                 []string
	CAFile, CertFile, KeyFile string
	Username, Password        string
}

// Default is the endpoint at which etcd-member.service listens. Dial prefers its Socket.
const Default = "http://127.0.0.1:2379"

// Flags adds the flags to a flag set.
func (c *Config) Flags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&c.Endpoints, "endpoint", []string{Default}, "`URL` of etcd; several times, or with commas, for several")
	flags.StringVar(&c.CAFile, "etcd-cafile", "", "`FILE` with the certificates of the authorities that etcd's certificate may come from")
	flags.StringVar(&c.CertFile, "etcd-certfile", "", "`FILE` with the certificate to show to etcd")
	flags.StringVar(&c.KeyFile, "etcd-keyfile", "", "`FILE` with its key")
	flags.StringVar(&c.Username, "etcd-username", "", "user `NAME` for etcd")
	flags.StringVar(&c.Password, "etcd-password", "", "the user's password; better in the environment than on the command line")
}

// Files returns the paths of the files with certificates and keys, of which each may be empty.
func (c *Config) Files() []*string { return []*string{&c.CAFile, &c.CertFile, &c.KeyFile} }

// Times of a connection.
const (
	dialTime  = 5 * time.Second
	keepAlive = 10 * time.Second
	maxPause  = 3 * time.Second // between attempts to connect
)

// Dial returns a client. It connects at its first use, and again after the connection was
// lost. If endpoints are those of this machine's etcd without TLS, it speaks only to that, and by the
// socket.
func Dial(c Config) (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints: c.Endpoints, Username: c.Username, Password: c.Password, Logger: zap.NewNop(),
		DialTimeout: dialTime, DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: dialTime,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxPause}, MinConnectTimeout: dialTime,
		}), Tracked()},
	}
	if own := local(c.Endpoints); own != nil {
		config.Endpoints = own
		config.DialOptions = append(config.DialOptions, grpc.WithContextDialer(dialer(own, Socket)))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("give both or neither of --etcd-certfile and --etcd-keyfile")
	}
	if c.CAFile != "" || c.CertFile != "" {
		info := transport.TLSInfo{TrustedCAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile}
		tls, err := info.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("TLS for etcd: %w", err)
		}
		config.TLS = tls
	}
	for _, endpoint := range c.Endpoints {
		if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") && !strings.HasPrefix(endpoint, "unix://") {
			return nil, fmt.Errorf("etcd endpoint %.80q: want a URL such as %s", redact.URL(endpoint), Default)
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("etcd at %v: %w", redact.URLs(c.Endpoints), err)
	}
	return client, nil
}
