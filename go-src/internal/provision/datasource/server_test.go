package datasource

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// httpSources are all that ask a server, by its URL.
var httpSources = map[string]func(url string) Source{
	"url":          URL,
	"cmdline":      func(url string) Source { return CommandLine("quiet cloud-config-url=" + url) },
	"ec2":          EC2,
	"openstack":    OpenStack,
	"gce":          GCE,
	"azure":        Azure,
	"digitalocean": DigitalOcean,
	"packet":       Packet,
}

// TestBadServers asks every source of servers that do it no good.
func TestBadServers(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(config)) })
	endless := bytes.Repeat([]byte("1=a\n"), 16<<10)
	tests := map[string]struct {
		serve http.HandlerFunc
		want  error // nil for one that may go away
		// but are sources to which this is another error.
		but map[string]error
	}{
		"not found": {http.NotFound, ErrAbsent, map[string]error{"url": nil, "cmdline": nil, "azure": nil}},
		"broken":    {status(http.StatusInternalServerError), nil, nil},
		"busy":      {status(http.StatusTooManyRequests), nil, nil},
		"forbidden": {status(http.StatusForbidden), ErrInvalid, nil},
		"gone":      {status(http.StatusGone), ErrInvalid, map[string]error{"azure": nil}},
		"no token":  {status(http.StatusUnauthorized), nil, nil},
		"closes":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, nil},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"hostname": "on`))
		}, nil, nil},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Metadata-Flavor", "Google")
			for r.Context().Err() == nil {
				if _, err := w.Write(endless); err != nil {
					return
				}
			}
		}, ErrTooLarge, nil},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Metadata-Flavor", "Google")
			_, _ = w.Write([]byte("\x1f\x8b<html>"))
		}, ErrInvalid, nil},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other, http.StatusFound)
		}, ErrInvalid, map[string]error{"url": errWorks, "cmdline": errWorks}},
		"in circles": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, ErrInvalid, nil},
	}
	for name, test := range tests {
		for kind, of := range httpSources {
			t.Run(name+"/"+kind, func(t *testing.T) {
				want := test.want
				if but, ok := test.but[kind]; ok {
					want = but
				}
				got, err := of(serve(t, test.serve)).Fetch(t.Context())
				switch {
				case errors.Is(want, errWorks) && err == nil:
				case err == nil || want == nil && isFinal(err) || want != nil && !errors.Is(err, want):
					t.Errorf("got %+v, error %v, want %v", got, err, want)
				}
			})
		}
	}
}

// errWorks is in place of an error where there is none.
var errWorks = errors.New("works")

func TestSlowServers(t *testing.T) {
	for kind, of := range httpSources {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := of(url).Fetch(ctx)
			if isFinal(err) || time.Since(start) > 5*time.Second {
				t.Errorf("error %v after %v", err, time.Since(start))
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	for kind, of := range httpSources {
		checkTransient(t, of(nobody))
		if t.Failed() {
			t.Fatal("asking", kind)
		}
	}
}

func TestMetadataServersAreAskedDirectly(t *testing.T) {
	proxied := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(config)) })
	t.Setenv("HTTP_PROXY", proxied)
	s := newServer("http://metadata.invalid/")
	if text, err := s.get(t.Context(), "latest/user-data", maxValue); err == nil {
		t.Errorf("got %q, by the proxy", text)
	}
	request, err := http.NewRequest(http.MethodGet, "http://169.254.169.254/user-data", nil)
	if err != nil {
		t.Fatal(err)
	}
	if by, err := proxy(request); by != nil || err != nil {
		t.Errorf("by %v, error %v", by, err)
	}
}

func TestErrorsKeepSecrets(t *testing.T) {
	url := serve(t, http.NotFound)
	url = strings.Replace(url, "http://", "http://user:hunter2@", 1) + "config?token=hunter3"
	for _, s := range []Source{URL(url), CommandLine("cloud-config-url=" + url), URL(nobody + "?t=hunter3"), URL("ftp://a/?t=hunter3")} {
		_, err := s.Fetch(t.Context())
		if err == nil || strings.Contains(s.Name()+err.Error(), "hunter") {
			t.Errorf("%s: error %v", s.Name(), err)
		}
	}
}
