package datasource

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

	"coreos/internal/cli/redact"
	"coreos/internal/host/bounded"
	"coreos/internal/host/lookup"
)

const (
	// requestTime is the time limit of a request to a metadata server, downloadTime of the
	// download of a file.
	requestTime  = 10 * time.Second
	downloadTime = time.Minute
	maxRedirects = 5
)

// server is an HTTP server with the URL of its root.
type server struct {
	root   string
	header http.Header
	client *http.Client
}

// newServer returns the metadata server at a URL. It does not use a proxy, which would
// reach the server of its own platform, and does not follow redirects to other servers.
func newServer(root string, header ...string) server {
	s := server{root: strings.TrimSuffix(root, "/") + "/", header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		s.header.Set(header[i], header[i+1])
	}
	s.client = &http.Client{Transport: transport(nil), Timeout: requestTime, CheckRedirect: sameHost}
	return s
}

// transport returns a transport for few requests. It does not unpack responses, since a
// small one could become large.
func transport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: requestTime}).DialContext,
		TLSHandshakeTimeout:    requestTime,
		ResponseHeaderTimeout:  requestTime,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		DisableKeepAlives:      true,
	}
}

// sameHost refuses redirects to other servers.
func sameHost(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrInvalid, maxRedirects)
	}
	if from := via[0].URL; request.URL.Host != from.Host || request.URL.Scheme != from.Scheme {
		return fmt.Errorf("%w: it redirects to another server, %s", ErrInvalid, request.URL.Host)
	}
	return nil
}

// get returns the content at a path, of at most most bytes. If the server answers 404, the
// error is fs.ErrNotExist.
func (s server) get(ctx context.Context, path string, most int) ([]byte, error) {
	text, _, err := s.do(ctx, http.MethodGet, path, nil, most)
	return text, err
}

// do makes a request. Its errors have the path without the query, which may contain a
// secret.
func (s server) do(ctx context.Context, method, path string, body io.Reader, most int) ([]byte, http.Header, error) {
	name, _, _ := strings.Cut("/"+path, "?")
	request, err := http.NewRequestWithContext(ctx, method, s.root+path, body)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, redact.WithoutURL(err))
	}
	request.Header = s.header.Clone()
	request.Header.Set("User-Agent", "coreos-cloudinit")
	// Packet's server requires the header.
	request.Header.Set("Accept", "*/*")
	return roundTrip(s.client, request, name, most)
}

func roundTrip(client *http.Client, request *http.Request, name string, most int) ([]byte, http.Header, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", request.Method, name, lookup.Explain(redact.WithoutURL(err)))
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s %s: %w", request.Method, name, &statusError{response.StatusCode, response.Status})
	}
	text, err := bounded.Read(response.Body, int64(most))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", request.Method, name, err)
	}
	return text, response.Header, nil
}

// statusError is a response with an error status.
type statusError struct {
	code   int
	status string
}

func (e *statusError) Error() string { return "the server answers " + e.status }

// Is makes the error fs.ErrNotExist or ErrInvalid. Some errors are neither, since they may
// be temporary: the content may come later, and a token may have expired.
func (e *statusError) Is(target error) bool {
	switch e.code {
	case http.StatusNotFound:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return target == ErrInvalid && e.code < 500
}

// optional returns the content at a path, nothing if the server does not have it.
func (s server) optional(ctx context.Context, path string, most int) ([]byte, error) {
	text, err := s.get(ctx, path, most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// required is get for a path that every server of this platform has. If it is missing, the
// error is ErrAbsent.
func (s server) required(ctx context.Context, path string, most int) ([]byte, error) {
	text, err := s.get(ctx, path, most)
	return text, absentIfMissing(err)
}

// twoFiles reads a server that has all metadata in one document, and the user-data in a file
// of its own, which may be missing.
func (s server) twoFiles(ctx context.Context, metadata string, parse func([]byte) (Metadata, error), userData string) (*Data, error) {
	text, err := s.required(ctx, metadata, maxDocument)
	if err != nil {
		return nil, err
	}
	data := &Data{}
	if data.Metadata, err = parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w", metadata, err)
	}
	data.UserData, err = s.optional(ctx, userData, MaxUserData)
	return data, err
}

func absentIfMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}
