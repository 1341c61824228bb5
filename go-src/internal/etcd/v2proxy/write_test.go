package v2proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestMeanwhile has other writes come between a write's reading and its commit: it must
// be as if they were before it.
func TestMeanwhile(t *testing.T) {
	tests := []struct{ name, before, write, meanwhile, want string }{
		{"set", "", "PUT $/a value=1", "PUT $/a value=2", "set 1, was 2"},
		{"set a file that goes", "PUT $/a value=0", "PUT $/a value=1", "DELETE $/a", "set 1"},
		{"set what becomes a directory", "", "PUT $/a value=1", "PUT $/a dir=true", "error 102"},
		{"set a file that becomes a directory", "PUT $/a value=0", "PUT $/a value=1", "PUT $/a dir=true", "error 102"},
		{"set what gets something in it", "", "PUT $/a value=1", "PUT $/a/b value=2", "error 102"},
		{"set under a file", "", "PUT $/a/b value=1", "PUT $/a value=2", "error 104"},
		{"set in a directory that becomes a file", "PUT $/a dir=true", "PUT $/a/b value=1",
			"DELETE $/a?dir=true;PUT $/a value=2", "error 104"},
		{"create", "", "PUT $/a prevExist=false", "PUT $/a value=2", "error 105"},
		{"create a directory", "", "PUT $/a prevExist=false&dir=true", "PUT $/a/b value=2", "error 105"},
		{"update", "PUT $/a value=0", "PUT $/a prevExist=true", "DELETE $/a", "error 100"},
		{"swap value", "PUT $/a value=0", "PUT $/a prevValue=0&value=1", "PUT $/a value=2", "error 101"},
		{"swap the same value", "PUT $/a value=0", "PUT $/a prevValue=0&value=1", "PUT $/a value=0", "compareAndSwap 1, was 0"},
		{"swap index", "PUT $/a value=0", "PUT $/a prevIndex=@&value=1", "PUT $/a value=0", "error 101"},
		{"swap what goes", "PUT $/a value=0", "PUT $/a prevValue=0&value=1", "DELETE $/a", "error 100"},
		{"refresh", "PUT $/a value=0", "PUT $/a refresh=true&ttl=50", "PUT $/a value=2", "set 2, was 2"},
		{"delete", "PUT $/a value=0", "DELETE $/a", "DELETE $/a", "error 100"},
		{"delete value", "PUT $/a value=0", "DELETE $/a?prevValue=0", "PUT $/a value=2", "error 101"},
		{"delete index", "PUT $/a value=0", "DELETE $/a?prevIndex=@", "PUT $/a value=0", "error 101"},
		{"delete an empty directory", "PUT $/a dir=true", "DELETE $/a?dir=true", "PUT $/a/b value=2", "error 108"},
		{"delete a tree", "PUT $/a/b value=0", "DELETE $/a?recursive=true", "DELETE $/a?recursive=true", "error 100"},
		{"delete a tree that becomes a file", "PUT $/a/b value=0", "DELETE $/a?recursive=true",
			"DELETE $/a?recursive=true;PUT $/a value=2", "delete, was 2"},
		{"a directory of a file that goes", "PUT $/a value=0", "PUT $/a dir=true", "DELETE $/a", "set"},
		{"a directory of a file that changes", "PUT $/a value=0", "PUT $/a dir=true", "PUT $/a value=2", "set, was 2"},
	}
	base, client := newFront(t, Limits{})
	store := NewStore(client)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := meanwhile{t, base, store, fmt.Sprintf("/meanwhile%d", i), ""}
			do(t, base, "PUT", "/v2/keys"+m.dir, "dir=true")
			m.others(test.before)
			e, err := m.write(test.write, func() { m.others(test.meanwhile) })
			if got := told(e, err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// meanwhile runs a test's requests, in which $ stands for a directory and @ for the index
// after the first.
type meanwhile struct {
	t     *testing.T
	base  string
	store *Store
	dir   string
	index string
}

func (m *meanwhile) parts(step string) []string {
	return requestLine.FindStringSubmatch(strings.NewReplacer("$", m.dir, "@", m.index).Replace(step))
}

// others are requests of another proxy, which succeed.
func (m *meanwhile) others(steps string) {
	m.t.Helper()
	for _, step := range strings.FieldsFunc(steps, func(r rune) bool { return r == ';' }) {
		q := m.parts(step)
		code, header, body := do(m.t, m.base, q[1], "/v2/keys"+q[2], q[3])
		if code >= 400 {
			m.t.Fatalf("%s: %d %s", step, code, body)
		}
		if m.index == "" {
			m.index = header.Get("X-Etcd-Index")
		}
	}
}

// write carries out a request, between whose first plan and its commit there is something
// else.
func (m *meanwhile) write(step string, between func()) (*Event, error) {
	m.t.Helper()
	q := m.parts(step)
	req, failed := parse(newRequest(q[1], "/v2/keys"+q[2], q[3]))
	if failed != nil {
		m.t.Fatal(failed)
	}
	w := &writer{Store: m.store, req: req}
	p, planned := w.plan()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	first := true
	e, _, err := w.run(ctx, p, func(ctx context.Context, st *state) (*change, error) {
		c, err := planned(ctx, st)
		if first {
			first = false
			between()
		}
		return c, err
	})
	return e, err
}

// told is the gist of an answer.
func told(e *Event, err error) string {
	if err != nil {
		return fmt.Sprintf("error %d", failure(err, false).Code)
	}
	text := e.Action
	if e.Node.Value != nil {
		text += " " + *e.Node.Value
	}
	if e.PrevNode != nil && e.PrevNode.Value != nil {
		text += ", was " + *e.PrevNode.Value
	}
	return text
}

func leaseAt(t *testing.T, client *clientv3.Client, key string) int64 {
	t.Helper()
	got, err := client.Get(t.Context(), key)
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("%s: %v, %v", key, got, err)
	}
	return got.Kvs[0].Lease
}

// TestMeanwhileLease: a key hangs on the lease that its directory has when it is written.
func TestMeanwhileLease(t *testing.T) {
	base, client := newFront(t, Limits{})
	for i, test := range []struct{ write, meanwhile string }{
		{"PUT $/d/x value=1", "PUT $/d dir=true&prevExist=true&ttl=200"},
		{"PUT $/d/x value=1", "PUT $/d dir=true&prevExist=true"},
		{"PUT $/d dir=true&prevExist=true&ttl=200", "PUT $/d/x value=1"},
		{"PUT $/d dir=true&prevExist=true&ttl=200", "DELETE $/d/y;PUT $/d/x value=1"},
		{"PUT $/d dir=true&prevExist=true&ttl=100", "PUT $/d dir=true&prevExist=true&ttl=200;PUT $/d/x value=1"},
		{"PUT $/d/x value=1", "DELETE $/d?recursive=true;PUT $/d dir=true&ttl=100"},
		{"PUT $/d/x value=1", "revoke"},
		{"PUT $/new/x value=1", "PUT $/new dir=true&ttl=100"},
	} {
		m := meanwhile{t, base, NewStore(client), fmt.Sprintf("/lease%d", i), ""}
		m.others("PUT $/d dir=true&ttl=100;PUT $/d/y value=1;PUT $/d/z value=1")
		_, err := m.write(test.write, func() {
			if test.meanwhile != "revoke" {
				m.others(test.meanwhile)
			} else if _, err := client.Revoke(t.Context(), clientv3.LeaseID(leaseAt(t, client, m.dir+"/d/"))); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Errorf("%s: %v", test.write, err)
			continue
		}
		d := m.dir + "/d/"
		if strings.Contains(test.write, "/new/") {
			d = m.dir + "/new/"
		}
		if dir, file := leaseAt(t, client, d), leaseAt(t, client, d+"x"); dir != file || file == 0 && strings.Contains(test.meanwhile, "ttl=") {
			t.Errorf("%s, meanwhile %s: the directory has lease %x, the file in it %x", test.write, test.meanwhile, dir, file)
		}
	}
}

// TestMeanwhileOrder: of two in-order creations, the later has the larger name.
func TestMeanwhileOrder(t *testing.T) {
	base, client := newFront(t, Limits{})
	m := meanwhile{t, base, NewStore(client), "/order", ""}
	m.others("PUT $/q dir=true")
	e, err := m.write("POST $/q value=1", func() { m.others("PUT $/a value=1;POST $/q value=2") })
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(t.Context(), "/order/q/0", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 2 || string(got.Kvs[1].Key) != e.Node.Key {
		t.Errorf("%s is not the last of %v, %v", e.Node.Key, got.Kvs, err)
	}
}

// TestManyInDirectory: a lease keeps a large directory, but cannot be exchanged.
func TestManyInDirectory(t *testing.T) {
	base, _ := newFront(t, Limits{})
	do(t, base, "PUT", "/v2/keys/many", "dir=true&ttl=100")
	for i := range maxMoved + 1 {
		do(t, base, "PUT", fmt.Sprintf("/v2/keys/many/%d", i), "value=1")
	}
	if code, _, body := do(t, base, "PUT", "/v2/keys/many", "dir=true&ttl=100&prevExist=true"); code != 200 {
		t.Errorf("the same TTL: %d %s", code, body)
	}
	if code, _, body := do(t, base, "PUT", "/v2/keys/many", "dir=true&ttl=200&prevExist=true"); code != 400 || !strings.Contains(body, "cannot be changed") {
		t.Errorf("another TTL: %d %s", code, body)
	}
}
