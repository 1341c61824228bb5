// Package download downloads files over HTTP from servers that are not trusted: they may
// close connections, stall, send a few bytes a second, redirect in circles, send something
// else, or never end.
package download

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"coreos/internal/cli/redact"
	"coreos/internal/host/lookup"
)

// Errors of downloads, to be recognised by errors.Is.
var (
	// ErrStalled: the server sent nothing, or next to nothing, for the time Stall.
	ErrStalled = errors.New("the server stalls")
	// ErrRedirect: there were too many redirects, or one from HTTPS to another scheme, to an
	// address that only this machine reaches, or to something else than HTTP.
	ErrRedirect = errors.New("redirect refused")
	// ErrStatus: the server answered with an error status.
	ErrStatus = errors.New("the server answers")
	// ErrTooLong: the file is longer than allowed.
	ErrTooLong = errors.New("the file is too long")
	// ErrRange: the server sent another range of the file than the one requested.
	ErrRange = errors.New("the server sent another range than requested")
)

const (
	maxRedirects = 5
	// slowest is the rate in bytes per second below which the server counts as stalled.
	slowest = 512
	// burst is how many bytes may arrive at once under a bandwidth limit.
	burst = 32 << 10
)

// Options are the options of a Client. The zero value is usable.
type Options struct {
	// Proxy is the URL of a proxy. If it is empty, the environment variables HTTPS_PROXY,
	// HTTP_PROXY and NO_PROXY are used.
	Proxy string
	// Limit is the bandwidth limit in bytes per second, 0 for none.
	Limit int
	// Stall is how long the server may send nothing; by default 30 seconds.
	Stall time.Duration
	// Attempts is how often a download is tried; by default 5 times. Pause is the first
	// pause between attempts, by default half a second; the later ones are longer.
	Attempts uint
	Pause    time.Duration
	// Transport makes the requests if it is not nil, as in tests.
	Transport http.RoundTripper
}

// Client downloads.
type Client struct {
	options Options
	http    *http.Client
	limiter *rate.Limiter
}

// New makes a Client.
func New(options Options) (*Client, error) {
	if options.Stall == 0 {
		options.Stall = 30 * time.Second
	}
	if options.Attempts == 0 {
		options.Attempts = 5
	}
	if options.Pause == 0 {
		options.Pause = 500 * time.Millisecond
	}
	c := &Client{options: options, limiter: rate.NewLimiter(rate.Inf, burst)}
	if options.Limit > 0 {
		c.limiter.SetLimit(rate.Limit(options.Limit))
	}
	transport := options.Transport
	if transport == nil {
		proxy, err := proxyOf(options.Proxy)
		if err != nil {
			return nil, err
		}
		transport = &http.Transport{
			Proxy:               proxy,
			DialContext:         (&net.Dialer{Timeout: options.Stall}).DialContext,
			TLSHandshakeTimeout: options.Stall,
			ForceAttemptHTTP2:   true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			// Files are compressed already. A response that unpacks to more than was
			// requested is not wanted.
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return c, nil
}

func proxyOf(proxy string) (func(*http.Request) (*url.URL, error), error) {
	if proxy == "" {
		return redact.Proxy(http.ProxyFromEnvironment), nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("proxy %q is not a URL such as http://proxy.example.com:3128", redact.URL(proxy))
	}
	return http.ProxyURL(u), nil
}

func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d", ErrRedirect, maxRedirects)
	}
	if err := CheckAddress(via[0].URL, request.URL); err != nil {
		return fmt.Errorf("%w: %w", ErrRedirect, err)
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return fmt.Errorf("%w: from HTTPS to %s", ErrRedirect, redact.URL(request.URL.String()))
	}
	return nil
}

// Hasty returns a client that gives up after the second attempt, for a server that others can
// stand in for.
func (c *Client) Hasty() *Client {
	hasty := *c
	hasty.options.Attempts = min(2, c.options.Attempts)
	return &hasty
}

// HTTP returns the HTTP client, for requests that are not downloads.
func (c *Client) HTTP() *http.Client { return c.http }

// retry calls try until it succeeds, fails for good, or has failed Attempts times.
func (c *Client) retry(ctx context.Context, try func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = c.options.Pause
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := try()
		if err != nil && isPermanent(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(c.options.Attempts))
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	return err
}

// isPermanent reports whether another attempt would fail with the same error.
func isPermanent(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code < 500 && status.Code != http.StatusTooManyRequests && status.Code != http.StatusRequestTimeout
	}
	return errors.Is(err, ErrRedirect) || errors.Is(err, ErrRange) || errors.Is(err, ErrTooLong) || errors.Is(err, errors.ErrUnsupported)
}

// StatusError is a response with an error status.
type StatusError struct {
	Code   int
	Status string
}

func (e *StatusError) Error() string { return ErrStatus.Error() + " " + e.Status }

// Is makes the error an ErrStatus, and fs.ErrNotExist if the server does not have the file.
// Some servers answer 403 instead of 404, so as not to tell which files exist.
func (e *StatusError) Is(target error) bool {
	missing := e.Code == http.StatusNotFound || e.Code == http.StatusForbidden || e.Code == http.StatusGone
	return target == ErrStatus || target == fs.ErrNotExist && missing
}

// get requests a file, or the ranges of it in the value of a Range header. Reading the body
// fails with ErrStalled if the server stalls.
func (c *Client) get(ctx context.Context, from, ranges string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		cancel(nil)
		return nil, redact.WithoutURL(err)
	}
	if ranges != "" {
		request.Header.Set("Range", ranges)
	}
	timer := time.AfterFunc(c.options.Stall, func() { cancel(ErrStalled) })
	response, err := c.http.Do(request)
	timer.Stop()
	if err != nil {
		err = cause(ctx, lookup.Explain(redact.WithoutURL(err)))
		cancel(nil)
		return nil, err
	}
	response.Body = &body{ReadCloser: response.Body, client: c, ctx: ctx, cancel: cancel, timer: timer}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusPartialContent {
		_ = response.Body.Close()
		return nil, &StatusError{response.StatusCode, response.Status}
	}
	return response, nil
}

// cause returns the cause of the end of the context, if it has ended, and err otherwise.
func cause(ctx context.Context, err error) error {
	if because := context.Cause(ctx); because != nil {
		return because
	}
	return err
}
