// Package client is the client of fleet's HTTP API
// (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/api-v1.md).
package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"coreos/internal/cli/redact"
	"coreos/internal/fleet/schema"
)

// Endpoint is the socket of the fleetd on the same machine.
const Endpoint = "unix:///var/run/fleet.sock"

// Client sends requests to a fleetd.
type Client struct {
	http http.Client
	base *url.URL
	// endpoint is the endpoint as the operator wrote it.
	endpoint string
	log      *slog.Logger
}

// Config configures a Client.
type Config struct {
	// TLS is for https endpoints.
	TLS *tls.Config
	// Dial replaces net.Dialer.DialContext: network is unix or tcp.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds a request; 0 is no bound.
	Timeout time.Duration
	// Log gets a debug line for each request; nil is no log.
	Log *slog.Logger
}

// New returns a client for an endpoint: unix:///PATH, http://HOST:PORT or https://HOST:PORT.
func New(endpoint string, c Config) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s is not a valid URL", redact.URL(endpoint)) // url.Parse quotes parts of the password
	}
	endpoint = redact.URL(endpoint) // from here on only for messages
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: c.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
	base := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	switch u.Scheme {
	case "unix", "file":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("endpoint %s: write the path of a socket with three slashes, as in %s", endpoint, Endpoint)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "unix", u.Path) }
		base = &url.URL{Scheme: "http", Host: "fleet.sock"}
	case "http", "https":
		if u.Host == "" {
			return nil, fmt.Errorf("endpoint %s names no host", endpoint)
		}
	default:
		return nil, fmt.Errorf("endpoint %q does not begin with unix://, http:// or https://", endpoint)
	}
	client := &Client{http: http.Client{Transport: transport, Timeout: c.Timeout}, base: base.JoinPath(schema.Prefix), endpoint: endpoint, log: c.Log}
	// fleetd never redirects: an answer that does comes from another server.
	client.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}
