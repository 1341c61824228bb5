// Package download gets files by HTTP from servers that may do anything: close, stall,
// trickle, redirect in circles, answer something else or never end.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
)

// Errors of downloads. They are in the chain of what the methods return.
var (
	// ErrStalled: no or next to no bytes came for a while.
	ErrStalled = errors.New("the server stalls")
	// ErrRedirect: too many redirects, or one away from HTTPS.
	ErrRedirect = errors.New("redirect refused")
	// ErrStatus: the server answers with an error.
	ErrStatus = errors.New("the server answers")
	// ErrTooLong: there are more bytes than there may be.
	ErrTooLong = errors.New("longer than it may be")
	// ErrRange: the server sends another part of the file than was asked for.
	ErrRange = errors.New("the server sends another part")
)

const (
	maxRedirects = 5
	// slowest is the rate in bytes per second below which a server counts as
	// stalled.
	slowest = 512
	// burst is how many bytes may come at once under a bandwidth limit.
	burst = 32 << 10
)

// Options of a Client. The zero value is good.
type Options struct {
	// Proxy is the URL of a proxy; without one, HTTPS_PROXY, HTTP_PROXY and NO_PROXY
	// of the environment count.
	Proxy string
	// Limit is the bandwidth limit in bytes per second, 0 for none.
	Limit int
	// Stall is how long a server may send nothing: 30 seconds by default.
	Stall time.Duration
	// Attempts is how often something is tried: 5 times by default, with pauses
	// that begin with Pause, half a second by default, and double.
	Attempts uint
	Pause    time.Duration
	// Transport does the requests, if it is not nil, instead of one made here.
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
			// What comes is packed already; an answer that unpacks to more
			// than was asked for is not wanted.
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return c, nil
}

func proxyOf(proxy string) (func(*http.Request) (*url.URL, error), error) {
	if proxy == "" {
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("proxy %q is not a URL such as http://proxy.example.com:3128", proxy)
	}
	return http.ProxyURL(u), nil
}

func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d", ErrRedirect, maxRedirects)
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return fmt.Errorf("%w: from HTTPS to %s", ErrRedirect, request.URL.Redacted())
	}
	return nil
}

// HTTP returns the client for other requests than downloads.
func (c *Client) HTTP() *http.Client { return c.http }

// retry runs try until it succeeds, fails for good or has failed too often.
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

// isPermanent tells errors that another attempt does not help with.
func isPermanent(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code < 500 && status.Code != http.StatusTooManyRequests && status.Code != http.StatusRequestTimeout
	}
	return errors.Is(err, ErrRedirect) || errors.Is(err, ErrRange) || errors.Is(err, ErrTooLong) || errors.Is(err, errors.ErrUnsupported)
}

// StatusError is an answer that is an error.
type StatusError struct {
	Code   int
	Status string
}

func (e *StatusError) Error() string { return ErrStatus.Error() + " " + e.Status }

// Is makes it an ErrStatus, and fs.ErrNotExist if the server does not have the file.
// Some say 403 about that, since they do not tell who may know.
func (e *StatusError) Is(target error) bool {
	missing := e.Code == http.StatusNotFound || e.Code == http.StatusForbidden || e.Code == http.StatusGone
	return target == ErrStatus || target == fs.ErrNotExist && missing
}

// get asks for a file from offset on; length 0 is the whole file. The body ends with
// ErrStalled when the server stalls.
func (c *Client) get(ctx context.Context, from string, offset, length int64) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if length > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	}
	timer := time.AfterFunc(c.options.Stall, func() { cancel(ErrStalled) })
	response, err := c.http.Do(request)
	timer.Stop()
	if err != nil {
		err = cause(ctx, err)
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

// cause returns why a request was given up, if it was, and the error otherwise.
func cause(ctx context.Context, err error) error {
	if because := context.Cause(ctx); because != nil {
		return because
	}
	return err
}

// body is the body of an answer, read no faster than the limit and given up when it
// comes too slowly. Only the time spent in waiting for the server counts.
type body struct {
	io.ReadCloser
	client *Client
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	waited time.Duration
	read   int64
}

func (b *body) Read(p []byte) (int, error) {
	p = p[:min(len(p), burst)]
	b.timer.Reset(b.client.options.Stall + time.Duration(b.read)*time.Second/slowest - b.waited)
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.waited += time.Since(start)
	b.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = cause(b.ctx, err)
	}
	if err == nil || errors.Is(err, io.EOF) {
		if limited := b.client.limiter.WaitN(b.ctx, n); limited != nil {
			err = cause(b.ctx, limited)
		}
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// Directory is a directory of files on a server.
type Directory struct {
	Client *Client
	URL    string
}

func (d Directory) url(name string) string { return strings.TrimSuffix(d.URL, "/") + "/" + name }

// Open returns a whole file. Whoever reads it bounds what is read.
func (d Directory) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	var response *http.Response
	err := d.Client.retry(ctx, func() (err error) {
		response, err = d.Client.get(ctx, d.url(name), 0, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", d.url(name), err)
	}
	return response.Body, nil
}

// ReadRange fills b with what a file has from offset on. What was got before an error is
// not asked for again. errors.ErrUnsupported says that the server gives only whole files.
func (d Directory) ReadRange(ctx context.Context, name string, offset int64, b []byte) error {
	got := 0
	err := d.Client.retry(ctx, func() error {
		n, err := d.readRange(ctx, name, offset+int64(got), b[got:])
		got += n
		return err
	})
	if err != nil {
		return fmt.Errorf("download %s, bytes %d to %d: %w", d.url(name), offset, offset+int64(len(b))-1, err)
	}
	return nil
}

func (d Directory) readRange(ctx context.Context, name string, offset int64, b []byte) (int, error) {
	response, err := d.Client.get(ctx, d.url(name), offset, int64(len(b)))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent {
		return 0, errors.ErrUnsupported
	}
	var first, last int64
	if _, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last); err != nil || first != offset || last > offset+int64(len(b))-1 {
		return 0, fmt.Errorf("%w: %.80q", ErrRange, response.Header.Get("Content-Range"))
	}
	n, err := io.ReadFull(response.Body, b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Get returns a whole file of at most most bytes. fs.ErrNotExist says that the server
// does not have it.
func (d Directory) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	var text []byte
	err := d.Client.retry(ctx, func() error {
		response, err := d.Client.get(ctx, d.url(name), 0, 0)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err = io.ReadAll(io.LimitReader(response.Body, most+1))
		if err == nil && int64(len(text)) > most {
			err = fmt.Errorf("%w: %d bytes", ErrTooLong, most)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", d.url(name), err)
	}
	return text, nil
}

// Sub returns a directory in the directory.
func (d Directory) Sub(name string) Directory { return Directory{d.Client, d.url(name)} }
