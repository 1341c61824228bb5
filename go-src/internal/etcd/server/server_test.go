package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"coreos/internal/etcd/certs"
	"coreos/internal/etcd/conn"
)

const (
	fleet = "/_coreos.com/fleet/v3/leader"
	app   = "/app"
)

// serve starts etcd with the guard and returns the URLs at which it serves clients: plain, with TLS, and
// the socket.
func serve(t *testing.T, dir string, args ...string) (plain, secure, socket string) {
	t.Helper()
	socket = filepath.Join(dir, "etcd.sock")
	var urls []string
	for _, scheme := range []string{"http", "https"} {
		urls = append(urls, scheme+"://"+free(t))
	}
	pki := filepath.Join(dir, "m0")
	o, err := read(append([]string{
		"--name=m0", "--data-dir=" + filepath.Join(dir, "data"), "--log-level=panic", "--unsafe-no-fsync", "--heartbeat-interval=20", "--election-timeout=200",
		"--listen-client-urls=" + strings.Join(urls, ","), "--advertise-client-urls=" + strings.Join(urls, ","), "--coreos-socket=" + socket,
		"--cert-file=" + filepath.Join(pki, "server.crt"), "--key-file=" + filepath.Join(pki, "server.key"), "--trusted-ca-file=" + filepath.Join(pki, "ca.crt"), "--client-cert-auth",
	}, args...))
	if err != nil {
		t.Fatal(err)
	}
	m, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	select {
	case <-m.etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd does not start")
	}
	if len(m.etcd.Peers) > 0 {
		t.Errorf("a member alone listens for peers at %v", m.etcd.Peers[0].Addr())
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	return urls[0], urls[1], "unix://" + socket
}

// free returns an address with a free port.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// keys makes an authority, a machine m0 and a client, in dir.
func keys(t *testing.T, dir string) {
	t.Helper()
	m, err := certs.ParseMachine("m0=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r := &certs.Request{Dir: dir, Machines: []certs.Machine{m}, Clients: []string{"node4"}, Life: time.Hour, Now: time.Now(), Say: t.Logf}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, dir, endpoint string) *clientv3.Client {
	t.Helper()
	config := conn.Config{Endpoints: []string{endpoint}}
	if strings.HasPrefix(endpoint, "https") {
		files := filepath.Join(dir, "clients", "node4")
		config.CAFile, config.CertFile, config.KeyFile = filepath.Join(files, "ca.crt"), filepath.Join(files, "client.crt"), filepath.Join(files, "client.key")
	}
	client, err := conn.Dial(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// attempts are what somebody tries who wants to change what is not his.
var attempts = map[string]func(ctx context.Context, c *clientv3.Client, held clientv3.LeaseID) error{
	"put": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		_, err := c.Put(ctx, fleet, "x")
		return err
	},
	"delete all": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		_, err := c.Delete(ctx, "\x00", clientv3.WithFromKey())
		return err
	},
	"txn": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		_, err := c.Txn(ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(app, "x")}, []clientv3.Op{clientv3.OpPut(fleet, "x")})).Commit()
		return err
	},
	"revoke": func(ctx context.Context, c *clientv3.Client, held clientv3.LeaseID) error {
		_, err := c.Revoke(ctx, held)
		return err
	},
	"member": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		_, err := c.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:9"})
		return err
	},
	"user": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		_, err := c.UserAdd(ctx, "root", "x")
		return err
	},
	"defrag": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		_, err := c.Defragment(ctx, c.Endpoints()[0])
		return err
	},
	"snapshot": func(ctx context.Context, c *clientv3.Client, _ clientv3.LeaseID) error {
		r, err := c.Snapshot(ctx)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		return err
	},
}

func TestDoors(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	plain, secure, socket := serve(t, dir)
	own := dial(t, dir, socket)
	lease, err := own.Grant(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Put(t.Context(), fleet, "machine", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	other := dial(t, dir, plain)
	for what, try := range attempts {
		if err := try(t.Context(), other, lease.ID); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s without a certificate: %v", what, err)
		}
	}
	wantAll(t, other)
	if got, err := other.Get(t.Context(), fleet); err != nil || string(got.Kvs[0].Value) != "machine" {
		t.Fatalf("the key of the machine: %v, %v", got, err)
	}
	for what, client := range map[string]*clientv3.Client{"socket": own, "certificate": dial(t, dir, secure)} {
		for _, name := range []string{"put", "txn", "defrag", "snapshot"} {
			if err := attempts[name](t.Context(), client, lease.ID); err != nil {
				t.Errorf("%s by %s: %v", name, what, err)
			}
		}
		wantAll(t, client)
	}
	if err := attempts["revoke"](t.Context(), own, lease.ID); err != nil {
		t.Error(err)
	}
}

// wantAll does what everybody may with keys of their own.
func wantAll(t *testing.T, c *clientv3.Client) {
	t.Helper()
	session, err := concurrency.NewSession(c)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close() // revokes the lease
	if err := concurrency.NewMutex(session, app+"/lock").Lock(t.Context()); err != nil {
		t.Error(err)
	}
	watch := c.Watch(t.Context(), app, clientv3.WithPrefix())
	if _, err := c.Txn(t.Context()).If(clientv3.Compare(clientv3.Version(fleet), ">", -1)).Then(clientv3.OpPut(app, "x"), clientv3.OpGet("", clientv3.WithPrefix())).Commit(); err != nil {
		t.Error(err)
	}
	if event := <-watch; event.Err() != nil {
		t.Error(event.Err())
	}
	if _, err := c.Delete(t.Context(), app, clientv3.WithPrefix()); err != nil {
		t.Error(err)
	}
}

// TestGateway asks over HTTP, and over a websocket.
func TestGateway(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	plain, secure, socket := serve(t, dir)
	files := filepath.Join(dir, "clients", "node4")
	info := transport.TLSInfo{TrustedCAFile: filepath.Join(files, "ca.crt"), CertFile: filepath.Join(files, "client.crt"), KeyFile: filepath.Join(files, "client.key")}
	tls, err := info.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	unix := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(socket, "unix://"))
	}
	for what, test := range map[string]struct {
		url     string
		client  http.Client
		trusted bool
	}{
		"plain":       {plain, http.Client{}, false},
		"certificate": {secure, http.Client{Transport: &http.Transport{TLSClientConfig: tls}}, true},
		"socket":      {"http://localhost", http.Client{Transport: &http.Transport{DialContext: unix}}, true},
	} {
		for _, key := range []string{app, fleet} {
			want := http.StatusOK
			if key == fleet && !test.trusted {
				want = http.StatusForbidden
			}
			body := fmt.Sprintf(`{"key":%q,"value":"eA=="}`, base64.StdEncoding.EncodeToString([]byte(key)))
			if got := post(t, &test.client, test.url+"/v3/kv/put", body); got != want {
				t.Errorf("%s, %s: %d, want %d", what, key, got, want)
			}
		}
		if got := post(t, &test.client, test.url+"/v3beta/kv/range", `{"key":"AA==","range_end":"AA=="}`); got != http.StatusOK {
			t.Errorf("%s, reading: %d", what, got)
		}
	}
	watchOverWebsocket(t, plain, dial(t, dir, plain))
}

func post(t *testing.T, client *http.Client, url, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "/run/etcd/etcd.sock")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// watchOverWebsocket watches a key over a websocket, as browsers do.
func watchOverWebsocket(t *testing.T, url string, etcd *clientv3.Client) {
	t.Helper()
	c, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	request := fmt.Sprintf(`{"create_request":{"key":%q}}`, base64.StdEncoding.EncodeToString([]byte(app)))
	if err := c.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"created":true`, `"events"`} {
		if _, answer, err := c.ReadMessage(); err != nil || !strings.Contains(string(answer), want) {
			t.Fatalf("want %s, got %s, %v", want, answer, err)
		}
		if _, err := etcd.Put(t.Context(), app, "x"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUsers has the operator enable etcd's users, which rule then.
func TestUsers(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	plain, _, socket := serve(t, dir)
	root := dial(t, dir, socket)
	for _, err := range []error{
		second(root.UserAdd(t.Context(), "root", "secret")), second(root.UserGrantRole(t.Context(), "root", "root")), second(root.AuthEnable(t.Context())),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := root.Put(t.Context(), fleet, "x"); err == nil {
		t.Error("the socket counts more than etcd's users")
	}
	user, err := clientv3.New(clientv3.Config{Endpoints: []string{plain}, Username: "root", Password: "secret", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if _, err := user.Put(t.Context(), fleet, "x"); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }
