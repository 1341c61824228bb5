package v2proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestAbout checks the paths that are no keys.
func TestAbout(t *testing.T) {
	base, _ := newFront(t, Limits{})
	tests := []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/health", 200, `{"health":"true"}`},
		{"GET", "/version", 200, `"etcdcluster":"3.`},
		{"GET", "/v2/machines", 200, base},
		{"GET", "/v2/members", 200, `"clientURLs":["` + base + `"]`},
		{"GET", "/v2/members/leader", 200, `"name":"default"`},
		{"POST", "/v2/members", 405, "Method Not Allowed"},
		{"GET", "/v2/stats/self", 404, "use etcd's v3 API"},
		{"GET", "/v2/keysx", 404, "use etcd's v3 API"},
		{"PATCH", "/v2/keys/a", 405, "Method Not Allowed"},
		{"HEAD", "/v2/keys/no", 404, ""},
	}
	for _, test := range tests {
		code, _, body := do(t, base, test.method, test.path, "")
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("%s %s: %d %s", test.method, test.path, code, body)
		}
	}
}

// TestIndexes is about the numbers that TestExchanges leaves out.
func TestIndexes(t *testing.T) {
	base, _ := newFront(t, Limits{})
	type answer struct {
		Node, PrevNode struct {
			Key, Value                  string
			ModifiedIndex, CreatedIndex int64
		}
		Index int64
	}
	ask := func(method, path, form string) (got answer, index string) {
		t.Helper()
		_, header, body := do(t, base, method, "/v2/keys"+path, form)
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return got, header.Get("X-Etcd-Index")
	}
	first, index := ask("PUT", "/index/a", "value=1")
	n := first.Node.ModifiedIndex
	if index != fmt.Sprint(n) || first.Node.CreatedIndex != n {
		t.Errorf("%+v, index %s", first, index)
	}
	second, _ := ask("PUT", "/index/a", "value=2")
	if second.Node.ModifiedIndex <= n || second.Node.CreatedIndex != n || second.PrevNode.ModifiedIndex != n {
		t.Errorf("%+v after %+v", second, first)
	}
	last := second.Node.ModifiedIndex
	if got, index := ask("GET", "/index/a", ""); got.Node != second.Node || index != fmt.Sprint(last) {
		t.Errorf("%+v, index %s", got, index)
	}
	if got, index := ask("PUT", "/index/a", fmt.Sprintf("value=3&prevIndex=%d", n)); got.Index != last || index != fmt.Sprint(last) {
		t.Errorf("an old index: %+v, %s", got, index)
	}
	third, _ := ask("PUT", "/index/a", fmt.Sprintf("value=3&prevIndex=%d&prevValue=2", last))
	if third.Node.Value != "3" {
		t.Errorf("%+v", third)
	}
	fourth, _ := ask("DELETE", "/index/a", "")
	if fourth.Node.ModifiedIndex <= third.Node.ModifiedIndex || fourth.Node.CreatedIndex != n {
		t.Errorf("%+v", fourth)
	}
}

// TestRaw checks that a v3 client sees the v2 key and its value.
func TestRaw(t *testing.T) {
	base, client := newFront(t, Limits{})
	do(t, base, "PUT", "/v2/keys/raw/a", "value=x")
	got, err := client.Get(t.Context(), "/raw", clientv3.WithPrefix())
	if err != nil || got.Count != 2 || string(got.Kvs[0].Key) != "/raw/" || string(got.Kvs[1].Key) != "/raw/a" || string(got.Kvs[1].Value) != "x" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestHeartbeat: a TTL that is set again and again does not make a lease each time, and
// a refresh does not make a revision.
func TestHeartbeat(t *testing.T) {
	base, client := newFront(t, Limits{})
	put := func(form string) (lease, revision int64) {
		t.Helper()
		if code, _, body := do(t, base, "PUT", "/v2/keys/heartbeat/a", form); code >= 300 {
			t.Fatalf("%d %s", code, body)
		}
		got, err := client.Get(t.Context(), "/heartbeat/a")
		if err != nil {
			t.Fatal(err)
		}
		return got.Kvs[0].Lease, got.Kvs[0].ModRevision
	}
	first, _ := put("value=1&ttl=60")
	second, at := put("value=2&ttl=60")
	if first == 0 || second != first {
		t.Errorf("lease %x, then %x", first, second)
	}
	if third, still := put("refresh=true&ttl=60"); third != first || still != at {
		t.Errorf("a refresh: lease %x at %d, then %x at %d", first, at, third, still)
	}
	if fourth, _ := put("value=3&ttl=70"); fourth == first {
		t.Error("another TTL on the same lease")
	}
}

// TestPages lists directories that need many reads, and one that is too large.
func TestPages(t *testing.T) {
	base, client := newFront(t, Limits{})
	for i := range 40 {
		var ops []clientv3.Op
		for j := range 50 {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("/pages/%02d/%02d", i, j), "x"))
		}
		if _, err := client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{"": 40, "?recursive=true": 2040} {
		code, _, body := do(t, base, "GET", "/v2/keys/pages"+query, "")
		if got := strings.Count(body, `"key":"/pages/`); code != 200 || got != want {
			t.Errorf("%q: %d, %d keys, want %d", query, code, got, want)
		}
	}
	large := string(bytes.Repeat([]byte("x"), 1<<20))
	for i := range MaxListBytes>>20 + 1 {
		if _, err := client.Put(t.Context(), fmt.Sprintf("/large/%d", i), large); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, body := do(t, base, "GET", "/v2/keys/large", ""); code != 400 || !strings.Contains(body, "ask for parts of it") {
		t.Errorf("%d %.200s", code, body)
	}
}

// TestUnavailable: a write that may have taken place is no success, and says so.
func TestUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it takes connections and says nothing
	client, err := (&Config{Endpoints: []string{"http://" + l.Addr().String()}}).NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w := &writer{Store: NewStore(client), req: &request{method: "PUT", path: "/a"}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := w.run(ctx, "/a", w.put); failure(err, false).Status() != 500 {
		t.Errorf("got %v", err)
	}
	if got := failure(context.DeadlineExceeded, true); got.Code != CodeRaftInternal || !strings.Contains(got.Cause, "not known") {
		t.Errorf("got %+v", got)
	}
}

// TestRun serves at a socket and ends in order, though a request waits.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, &Config{Listen: []string{"unix://" + path}, Endpoints: []string{etcdURL}})
	}()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for {
				conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
				if err == nil || ctx.Err() != nil {
					return conn, err
				}
				time.Sleep(5 * time.Millisecond)
			}
		},
	}}
	resp, err := client.Get("http://proxy/v2/keys/run?wait=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) > 0 {
		t.Errorf("the wait ended with %q, %v", body, err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second):
		t.Error("it does not end")
	}
}
