package v2proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// waiting is a request that waits. Its header has arrived, so that it sees all later
// changes.
type waiting struct {
	t    *testing.T
	resp *http.Response
	body *bufio.Reader
}

func startWait(t *testing.T, url string) *waiting {
	t.Helper()
	client := &http.Client{Timeout: 15 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	return &waiting{t, resp, bufio.NewReader(resp.Body)}
}

func (w *waiting) next() string {
	w.t.Helper()
	line, err := w.body.ReadString('\n')
	if err != nil {
		w.t.Fatalf("after %q: %v", line, err)
	}
	return normal(w.t, line)
}

// TestWait waits for changes from before the wait began, and then for later ones.
func TestWait(t *testing.T) {
	base := os.Getenv("ETCD2_REFERENCE")
	if base == "" {
		base, _ = newFront(t, Limits{})
	}
	tests := []struct{ name, before, at, do, want string }{
		{"set", "", "$/a?wait=true", "PUT $/a value=1",
			`{"action":"set","node":{"key":"$/a","value":"1"}}`},
		{"set again", "PUT $/a value=1", "$/a?wait=true", "PUT $/a value=2",
			`{"action":"set","node":{"key":"$/a","value":"2"},"prevNode":{"key":"$/a","value":"1"}}`},
		{"create", "", "$/a?wait=true", "PUT $/a value=1&prevExist=false",
			`{"action":"create","node":{"key":"$/a","value":"1"}}`},
		{"update", "PUT $/a value=1", "$/a?wait=true", "PUT $/a value=2&prevExist=true",
			`{"action":"update","node":{"key":"$/a","value":"2"},"prevNode":{"key":"$/a","value":"1"}}`},
		{"compare and swap", "PUT $/a value=1", "$?wait=true&recursive=true", "PUT $/a value=2&prevValue=1",
			`{"action":"compareAndSwap","node":{"key":"$/a","value":"2"},"prevNode":{"key":"$/a","value":"1"}}`},
		{"compare and delete", "PUT $/a value=1", "$?wait=true&recursive=true", "DELETE $/a?prevValue=1",
			`{"action":"compareAndDelete","node":{"key":"$/a"},"prevNode":{"key":"$/a","value":"1"}}`},
		{"delete", "PUT $/a value=1", "$/a?wait=true", "DELETE $/a",
			`{"action":"delete","node":{"key":"$/a"},"prevNode":{"key":"$/a","value":"1"}}`},
		{"in order", "", "$?wait=true&recursive=true", "POST $ value=1",
			`{"action":"create","node":{"key":"$/#","value":"1"}}`},
		{"directory", "", "$/d?wait=true", "PUT $/d dir=true",
			`{"action":"set","node":{"key":"$/d","dir":true}}`},
		{"file to directory", "PUT $/d value=1", "$/d?wait=true", "PUT $/d dir=true",
			`{"action":"set","node":{"key":"$/d","dir":true},"prevNode":{"key":"$/d","value":"1"}}`},
		{"new directories are not told", "", "$?wait=true&recursive=true", "PUT $/d/e/f value=1",
			`{"action":"set","node":{"key":"$/d/e/f","value":"1"}}`},
		{"tree", "PUT $/d/e/f value=1", "$?wait=true&recursive=true", "DELETE $/d?recursive=true",
			`{"action":"delete","node":{"key":"$/d","dir":true},"prevNode":{"key":"$/d","dir":true}}`},
		{"below a tree", "PUT $/d/e/f value=1", "$/d/e/f?wait=true", "DELETE $/d?recursive=true",
			`{"action":"delete","node":{"key":"$/d","dir":true},"prevNode":{"key":"$/d","dir":true}}`},
		{"hidden is not told from above", "", "$?wait=true&recursive=true", "PUT $/_h/x value=1;PUT $/y value=2",
			`{"action":"set","node":{"key":"$/y","value":"2"}}`},
		{"hidden is told of itself", "", "$/_h?wait=true&recursive=true", "PUT $/_h/x value=1",
			`{"action":"set","node":{"key":"$/_h/x","value":"1"}}`},
		{"refresh is not told", "PUT $/a value=1&ttl=100", "$?wait=true&recursive=true",
			"PUT $/a refresh=true&ttl=100;PUT $/a refresh=true&ttl=200&prevExist=true;PUT $/a value=3",
			`{"action":"set","node":{"key":"$/a","value":"3"},"prevNode":{"key":"$/a","value":"1","ttl":200}}`},
		{"not recursive", "PUT $/d/x value=1", "$/d?wait=true", "PUT $/d/x value=2;PUT $/d dir=true&prevExist=true&ttl=100",
			`{"action":"update","node":{"key":"$/d","dir":true,"ttl":100},"prevNode":{"key":"$/d","dir":true}}`},
		{"a neighbour", "", "$/a?wait=true&recursive=true", "PUT $/a-b value=1;PUT $/a/c value=2",
			`{"action":"set","node":{"key":"$/a/c","value":"2"}}`},
		{"expire", "", "$/a?wait=true", "PUT $/a value=1&ttl=1;",
			`{"action":"set","node":{"key":"$/a","value":"1","ttl":10}}`},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := fmt.Sprintf("/wait%d-%d", i, time.Now().UnixNano()%1e9)
			run := func(steps string) {
				for _, step := range strings.FieldsFunc(strings.ReplaceAll(steps, "$", dir), func(r rune) bool { return r == ';' }) {
					q := requestLine.FindStringSubmatch(step)
					if code, _, body := do(t, base+"/v2/keys", q[1], q[2], q[3]); code >= 400 {
						t.Fatalf("%s: %d %s", step, code, body)
					}
				}
			}
			run(test.before)
			w := startWait(t, base+"/v2/keys"+strings.ReplaceAll(test.at, "$", dir))
			run(test.do)
			if got, want := w.next(), normal(t, strings.ReplaceAll(test.want, "$", dir)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			// The same, looked for in the past. There etcd 2 tells of hidden keys too.
			if strings.HasPrefix(test.name, "hidden is not") && os.Getenv("ETCD2_REFERENCE") != "" {
				return
			}
			since, _ := strconv.Atoi(w.resp.Header.Get("X-Etcd-Index"))
			w = startWait(t, base+"/v2/keys"+strings.ReplaceAll(test.at, "$", dir)+"&waitIndex="+strconv.Itoa(since+1))
			if got, want := w.next(), normal(t, strings.ReplaceAll(test.want, "$", dir)); got != want {
				t.Errorf("later: got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestWaitForeign waits for changes that were not made through a proxy.
func TestWaitForeign(t *testing.T) {
	base, client := newFront(t, Limits{})
	ctx := t.Context()
	w := startWait(t, base+"/v2/keys/foreign?wait=true&recursive=true&stream=true")
	lease, err := client.Grant(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	on := clientv3.WithLease(lease.ID)
	for _, op := range []clientv3.Op{
		clientv3.OpPut("/foreign/a", "1"),
		clientv3.OpDelete("/foreign/a"),
		clientv3.OpPut("/foreign//x", "not seen"),
		clientv3.OpPut("/foreign/l", "2", on),
		clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("/foreign/d/", "", on), clientv3.OpPut("/foreign/d/x", "", on)}, nil),
		clientv3.OpPut("/foreign/e/x", "3"),
	} {
		if _, err := client.Do(ctx, op); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`{"action":"set","node":{"key":"/foreign/a","value":"1"}}`,
		`{"action":"delete","node":{"key":"/foreign/a"},"prevNode":{"key":"/foreign/a","value":"1"}}`,
		`{"action":"set","node":{"key":"/foreign/l","ttl":100,"value":"2"}}`,
		`{"action":"set","node":{"dir":true,"key":"/foreign/d","ttl":100}}`,
		`{"action":"set","node":{"key":"/foreign/d/x","ttl":100,"value":""}}`,
		`{"action":"set","node":{"key":"/foreign/e/x","value":"3"}}`,
	} {
		if got := w.next(); got != normal(t, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	got := `{"action":"get","node":{"dir":true,"key":"/foreign/e","nodes":[{"key":"/foreign/e/x","value":"3"}]}}`
	if code, _, body := do(t, base, "GET", "/v2/keys/foreign/e", ""); code != 200 || normal(t, body) != normal(t, got) {
		t.Errorf("an implied directory: %d %s", code, body)
	}
}

// TestExpire is about ends of leases: a directory goes as one.
func TestExpire(t *testing.T) {
	t.Parallel()
	base, _ := newFront(t, Limits{})
	put := func(path, form string) {
		t.Helper()
		if code, _, body := do(t, base, "PUT", "/v2/keys"+path, form); code >= 300 {
			t.Fatalf("%d %s", code, body)
		}
	}
	put("/expire/d", "dir=true&ttl=2")
	put("/expire/d/x", "value=1")
	put("/expire/d/e/y", "value=2&ttl=100")
	put("/expire/f", "value=3&ttl=2")
	dir := startWait(t, base+"/v2/keys/expire/d?wait=true&recursive=true")
	deep := startWait(t, base+"/v2/keys/expire/d/e/y?wait=true")
	file := startWait(t, base+"/v2/keys/expire/f?wait=true")
	gone := `{"action":"expire","node":{"dir":true,"key":"/expire/d"},"prevNode":{"dir":true,"key":"/expire/d"}}`
	for _, w := range []*waiting{dir, deep} {
		if got := w.next(); got != gone {
			t.Errorf("got %s, want %s", got, gone)
		}
	}
	if got, want := file.next(), `{"action":"expire","node":{"key":"/expire/f"},"prevNode":{"key":"/expire/f","value":"3"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if code, _, body := do(t, base, "GET", "/v2/keys/expire?recursive=true", ""); code != 200 || strings.Contains(body, `"nodes"`) {
		t.Errorf("%d %s", code, body)
	}
}

func TestWaitCompacted(t *testing.T) {
	base, client := newFront(t, Limits{})
	var last int64
	for range 3 {
		resp, err := client.Put(t.Context(), "/compacted", "x")
		if err != nil {
			t.Fatal(err)
		}
		last = resp.Header.Revision
	}
	if _, err := client.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	code, _, body := do(t, base, "GET", fmt.Sprintf("/v2/keys/compacted?wait=true&waitIndex=%d", last-1), "")
	var e Error
	if err := json.Unmarshal([]byte(body), &e); err != nil || code != 400 || e.Code != CodeIndexCleared || e.Index < last ||
		e.Cause != fmt.Sprintf("the requested history has been cleared [%d/%d]", last, last-1) {
		t.Errorf("%d %s", code, body)
	}
	if got := startWait(t, fmt.Sprintf("%s/v2/keys/compacted?wait=true&waitIndex=%d", base, last)).next(); !strings.Contains(got, `"x"`) {
		t.Errorf("the oldest index that is left: %s", got)
	}
}

func TestWaitLimit(t *testing.T) {
	base, _ := newFront(t, Limits{Waits: 1})
	startWait(t, base+"/v2/keys/limit?wait=true")
	if code, _, body := do(t, base, "GET", "/v2/keys/limit?wait=true", ""); code != 503 || !strings.Contains(body, "wait for events already") {
		t.Errorf("%d %s", code, body)
	}
	if code, _, body := do(t, base, "GET", "/metrics", ""); code != 200 || !strings.Contains(body, "etcd2_proxy_waits 1") {
		t.Errorf("%d %s", code, body)
	}
}
