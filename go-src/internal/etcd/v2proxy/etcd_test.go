package v2proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/servertest"
)

// etcdURL is that of one etcd for all tests of the package.
var etcdURL string

func TestMain(m *testing.M) { servertest.Main(m, &etcdURL) }

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
