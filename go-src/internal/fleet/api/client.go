package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Endpoint is where fleetd's socket is, on its own machine.
const Endpoint = "unix:///var/run/fleet.sock"

// Bounds of what a server can send.
const (
	maxAnswer = 64 << 20
	maxPages  = 1 << 16
)

// Client asks a server.
type Client struct {
	http http.Client
	base *url.URL
	// endpoint is what the operator called it.
	endpoint string
	log      *slog.Logger
}

// ClientConfig is how a Client reaches its server.
type ClientConfig struct {
	// TLS is for https endpoints.
	TLS *tls.Config
	// Dial connects, in the place of net.Dialer.DialContext: network is unix or tcp.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout is of a request; none, if it is 0.
	Timeout time.Duration
	// Log gets a line of debug for each request; nobody, if it is nil.
	Log *slog.Logger
}

// NewClient makes a client for an endpoint: unix:///PATH, http://HOST:PORT or
// https://HOST:PORT.
func NewClient(endpoint string, c ClientConfig) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
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
	client := &Client{http: http.Client{Transport: transport, Timeout: c.Timeout}, base: base.JoinPath(prefixes[0]), endpoint: endpoint, log: c.Log}
	// fleetd sends nobody elsewhere.
	client.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}

// Machines lists the machines.
func (c *Client) Machines(ctx context.Context) ([]Machine, error) {
	return list(ctx, c, "machines", func(p MachinePage) ([]Machine, string) { return p.Machines, p.NextPageToken })
}

// Units lists the units.
func (c *Client) Units(ctx context.Context) ([]Unit, error) {
	return list(ctx, c, "units", func(p UnitPage) ([]Unit, string) { return p.Units, p.NextPageToken })
}

// States lists what the machines' systemds say of all units.
func (c *Client) States(ctx context.Context) ([]UnitState, error) {
	return list(ctx, c, "state", func(p UnitStatePage) ([]UnitState, string) { return p.States, p.NextPageToken })
}

// StatesOf lists that of one unit, on all of its machines.
func (c *Client) StatesOf(ctx context.Context, name string) ([]UnitState, error) {
	path := "state?unitName=" + url.QueryEscape(name)
	return list(ctx, c, path, func(p UnitStatePage) ([]UnitState, string) { return p.States, p.NextPageToken })
}

// list asks for all pages of a list.
func list[Page, Item any](ctx context.Context, c *Client, path string, open func(Page) ([]Item, string)) (all []Item, err error) {
	token := ""
	for range maxPages {
		var page Page
		if err := c.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		items, next := open(page)
		if all = append(all, items...); next == "" {
			return all, nil
		}
		if next == token {
			break // again the same page
		}
		token = next
		path = withToken(path, next)
	}
	return nil, fmt.Errorf("%s does not answer as fleetd does: its list has no end", c.endpoint)
}

func withToken(path, token string) string {
	path, query, _ := strings.Cut(path, "?")
	values, _ := url.ParseQuery(query)
	values.Set("nextPageToken", token)
	return path + "?" + values.Encode()
}

// Unit returns one unit; ErrNotFound.
func (c *Client) Unit(ctx context.Context, name string) (u Unit, err error) {
	return u, c.do(ctx, http.MethodGet, "units/"+url.PathEscape(name), nil, &u)
}

// Set creates a unit, replaces its file, or has it wanted in another state.
func (c *Client) Set(ctx context.Context, u Unit) error {
	return c.do(ctx, http.MethodPut, "units/"+url.PathEscape(u.Name), u, nil)
}

// Destroy removes a unit; ErrNotFound.
func (c *Client) Destroy(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "units/"+url.PathEscape(name), nil, nil)
}

// Why explains where a unit is; ErrNotFound.
func (c *Client) Why(ctx context.Context, name string) (r Reasons, err error) {
	return r, c.do(ctx, http.MethodGet, "units/"+url.PathEscape(name)+"/why", nil, &r)
}

// Drain has a machine give its units away; ErrNotFound.
func (c *Client) Drain(ctx context.Context, machineID string, drain DrainRequest) error {
	return c.do(ctx, http.MethodPut, "machines/"+url.PathEscape(machineID)+"/drain", drain, nil)
}

// Undrain lets a machine have units again; ErrNotFound.
func (c *Client) Undrain(ctx context.Context, machineID string) error {
	return c.do(ctx, http.MethodDelete, "machines/"+url.PathEscape(machineID)+"/drain", nil, nil)
}

// SetMetadata makes all of the changes to machines' metadata or none.
func (c *Client) SetMetadata(ctx context.Context, changes []MetadataChange) error {
	operations := make([]operation, len(changes))
	for i, change := range changes {
		operations[i] = operation{"add", "/" + change.MachineID + "/metadata/" + change.Key, metadataValue(change.Value)}
		if change.Value == "" {
			operations[i].Op = "remove"
		}
	}
	return c.do(ctx, http.MethodPatch, "machines", operations, nil)
}

// Rebalance moves units from full machines to empty ones and says how many.
func (c *Client) Rebalance(ctx context.Context) (int, error) {
	var r Rebalanced
	err := c.do(ctx, http.MethodPost, "rebalance", nil, &r)
	return r.Moved, err
}

// do sends a request and reads the answer into answer, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == nil {
		text = nil
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+"/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	c.log.Debug("request", "method", method, "path", path, "error", err)
	if err != nil {
		return c.unreachable(err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	if response.StatusCode >= 300 {
		return c.failure(response.StatusCode, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s does not answer as fleetd does: %w", c.endpoint, err)
	}
	return nil
}

// unreachable says where no answer came from.
func (c *Client) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL that is made up for a socket
	}
	return fmt.Errorf("no answer from fleetd at %s: %w", c.endpoint, err)
}

// failure makes an Error of an answer, that is one of Cluster's errors, too.
func (c *Client) failure(code int, text []byte) error {
	e := &Error{Code: code}
	var body errorBody
	if json.Unmarshal(text, &body) != nil || body.Error.Code == 0 {
		e.Message = fmt.Sprintf("%s does not answer as fleetd does: %d %s", c.endpoint, code, http.StatusText(code))
		return e // no unit is missing where there is no fleetd
	}
	e.Message = body.Error.Message
	for _, known := range codes {
		if known.code == code {
			e.cause = known.err
			break
		}
	}
	return e
}
