package daemon

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cluster := &cluster{}
	begin(t, l, cluster, APISettings{Writers: []string{"somebody"}})
	me := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	if code, text, err := ask(over(l), http.MethodPut, "http://fleet/fleet/v1/units/a.service", unit); code != 201 {
		t.Errorf("%d %s, %v", code, text, err)
	}
	if by := cluster.by.Load(); by != me {
		t.Errorf("changed by %v, want %s", by, me)
	}
}

// over returns a client that opens a new connection to a unix socket for each request.
func over(l net.Listener) *http.Client {
	return &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", l.Addr().String())
		},
	}}
}

// TestListenersSurvive serves the same sockets with one server after the other. Each request is
// answered by the server of its time.
func TestListenersSurvive(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 200 {
		last := &cluster{}
		end := begin(t, l, last, APISettings{})
		if i%3 != 0 { // the others never serve
			code, _, err := ask(over(l), http.MethodGet, "http://fleet/fleet/v1/machines", "")
			if code != 200 || last.asked.Load() != 1 {
				t.Fatalf("server %d: %d, %v; it was asked %d times", i, code, err, last.asked.Load())
			}
		}
		end()
	}
	// The socket stays open: a request between two servers waits.
	done := make(chan int, 1)
	go func() {
		code, _, _ := ask(over(l), http.MethodGet, "http://fleet/fleet/v1/machines", "")
		done <- code
	}()
	time.Sleep(50 * time.Millisecond)
	begin(t, l, &cluster{}, APISettings{})
	if code := <-done; code != 200 {
		t.Errorf("a request between two servers: %d", code)
	}
}
