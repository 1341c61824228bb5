package download

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var content = bytes.Repeat([]byte("0123456789abcdef"), 8<<10)

func client(t *testing.T, options Options) *Client {
	t.Helper()
	if options.Stall == 0 {
		options.Stall = 5 * time.Second
	}
	options.Pause = time.Millisecond
	c, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func good(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func TestReadRange(t *testing.T) {
	d := Directory{client(t, Options{}), serve(t, good) + "/"}
	b := make([]byte, 1000)
	if err := d.ReadRange(context.Background(), "file", 777, b); err != nil || !bytes.Equal(b, content[777:1777]) {
		t.Errorf("error %v", err)
	}
	file, err := d.Open(context.Background(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if all, err := io.ReadAll(file); err != nil || !bytes.Equal(all, content) {
		t.Errorf("%d bytes, error %v", len(all), err)
	}
	if got, err := d.Get(context.Background(), "file", int64(len(content))); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

// hijack sends text as the whole answer and closes.
func hijack(w http.ResponseWriter, text string) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(connection, text)
	_ = connection.Close()
}

// badServer is a server whose answers are of no use.
type badServer struct {
	serve    http.HandlerFunc
	want     error // nil: any
	requests int64
}

// wantFailure checks the error of reading from the server by three attempts, and how many
// requests it gets.
func (s badServer) wantFailure(t *testing.T, stall time.Duration, read func(Directory) error) {
	t.Parallel()
	var requests atomic.Int64
	err := read(Directory{client(t, Options{Attempts: 3, Stall: stall}), serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		s.serve(w, r)
	})})
	if err == nil || s.want != nil && !errors.Is(err, s.want) {
		t.Errorf("error %v, want %v", err, s.want)
	}
	// Go's transport repeats a request by itself on a kept connection.
	if got := requests.Load(); got < s.requests || got > s.requests+1 {
		t.Errorf("%d requests, want %d", got, s.requests)
	}
}

func TestBadServers(t *testing.T) {
	tests := map[string]badServer{
		"not there":        {http.NotFound, ErrStatus, 1},
		"forbidden":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, ErrStatus, 1},
		"broken":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, ErrStatus, 3},
		"closes at once":   {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") }, io.EOF, 3},
		"closes in header": {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "HTTP/1.1 206 Par") }, io.ErrUnexpectedEOF, 3},
		"closes in body": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 206 P\r\nContent-Range: bytes 10-109/9999\r\nContent-Length: 100\r\n\r\n")
		}, io.ErrUnexpectedEOF, 3},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 10-20/21")
			w.WriteHeader(http.StatusPartialContent)
		}, io.ErrUnexpectedEOF, 3},
		"another part": {func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-99")
			good(w, r)
		}, ErrRange, 1},
		"no part":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, ErrRange, 1},
		"no ranges": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }, errors.ErrUnsupported, 1},
		"redirects in a circle": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, ErrRedirect, maxRedirects + 1},
		"stalls before the header": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ErrStalled, 3},
		"stalls in the body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 10-109/9999")
			w.WriteHeader(http.StatusPartialContent)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, ErrStalled, 3},
		"trickles": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+"/9999")
			w.WriteHeader(http.StatusPartialContent)
			tick := time.NewTicker(40 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-r.Context().Done():
					return
				case <-tick.C:
					_, _ = w.Write([]byte{0})
					_ = http.NewResponseController(w).Flush()
				}
			}
		}, ErrStalled, 3},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "SSH-2.0-OpenSSH_9.2\r\n") }, nil, 3},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 O\r\nA: "+strings.Repeat("x", 1<<20))
		}, nil, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.wantFailure(t, 100*time.Millisecond, func(d Directory) error {
				return d.ReadRange(context.Background(), "file", 10, make([]byte, 100))
			})
		})
	}
}

// A server that closes again and again is asked only for what it has not sent.
func TestReadRangeResumes(t *testing.T) {
	var asked []string
	d := Directory{client(t, Options{}), serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		var first, last int
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
		part := content[first : last+1]
		text := fmt.Sprintf("HTTP/1.1 206 P\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n", first, last, len(content), len(part))
		hijack(w, text+string(part[:min(len(part), 40)]))
	})}
	b := make([]byte, 100)
	if err := d.ReadRange(context.Background(), "file", 10, b); err != nil || !bytes.Equal(b, content[10:110]) {
		t.Errorf("error %v", err)
	}
	if got, want := strings.Join(asked, " "), "bytes=10-109 bytes=50-109 bytes=90-109"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

func TestGetIsBounded(t *testing.T) {
	c := client(t, Options{})
	from := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(content); err != nil {
				return
			}
		}
	})
	if _, err := (Directory{c, from}).Get(context.Background(), "file", 1000); !errors.Is(err, ErrTooLong) {
		t.Errorf("error %v", err)
	}
}

func TestNotThere(t *testing.T) {
	d := Directory{client(t, Options{}), serve(t, http.NotFound)}
	if _, err := d.Get(context.Background(), "file", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestRedirectAwayFromHTTPS(t *testing.T) {
	plain := serve(t, good)
	secure := httptest.NewTLSServer(http.RedirectHandler(plain, http.StatusFound))
	defer secure.Close()
	c := client(t, Options{Transport: secure.Client().Transport})
	if _, err := (Directory{c, secure.URL}).Get(context.Background(), "file", 1<<20); !errors.Is(err, ErrRedirect) {
		t.Errorf("error %v", err)
	}
}

func TestProxy(t *testing.T) {
	var asked atomic.Value
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.RequestURI)
		_, _ = w.Write([]byte("by proxy"))
	})
	c := client(t, Options{Proxy: proxy})
	text, err := (Directory{c, "http://updates.example.com"}).Sub("x").Get(context.Background(), "y", 100)
	if err != nil || string(text) != "by proxy" || asked.Load() != "http://updates.example.com/x/y" {
		t.Errorf("%q, error %v, the proxy was asked for %v", text, err, asked.Load())
	}
	if _, err := New(Options{Proxy: "proxy"}); err == nil {
		t.Error("a proxy without a host was taken")
	}
}

// The limiter is asked for every byte; how it keeps time is its own affair.
func TestLimit(t *testing.T) {
	c := client(t, Options{Limit: 1 << 20})
	start := time.Now()
	if _, err := (Directory{c, serve(t, good)}).Get(context.Background(), "file", 1<<20); err != nil {
		t.Fatal(err)
	}
	// All but what may come at once takes its time.
	if least := time.Duration(len(content)-burst) * time.Second / (1 << 20); time.Since(start) < least {
		t.Errorf("it took %v, at least %v are due", time.Since(start), least)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := Directory{client(t, Options{}), serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})}
	if err := d.ReadRange(ctx, "file", 0, make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
