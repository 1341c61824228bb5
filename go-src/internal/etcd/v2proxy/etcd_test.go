package v2proxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// etcdURL is that of one etcd for all tests of the package.
var etcdURL string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "etcd2-")
	if err != nil {
		panic(err)
	}
	code := func() int {
		defer os.RemoveAll(dir)
		etcd := startEtcd(dir)
		defer etcd.Close()
		etcdURL = "http://" + etcd.Clients[0].Addr().String()
		return m.Run()
	}()
	os.Exit(code)
}

func startEtcd(dir string) *embed.Etcd {
	config := embed.NewConfig()
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.Dir, config.LogLevel, config.UnsafeNoFsync = dir, "fatal", true
	config.ListenClientUrls, config.ListenPeerUrls = anyPort, anyPort
	// Short elections make short TTLs possible: etcd's least is three halves of one.
	config.TickMs, config.ElectionMs = 20, 200
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		panic(err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		panic("etcd does not start")
	}
	return etcd
}

func testClient(t testing.TB) *clientv3.Client {
	t.Helper()
	client, err := (&Config{Endpoints: []string{etcdURL}}).NewClient()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newFront serves the cluster at a URL.
func newFront(t testing.TB, limits Limits) (string, *clientv3.Client) {
	t.Helper()
	client := testClient(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(t.Context(), Handler(NewStore(client), limits))
	server.Start()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL, client
}
