package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coreos/internal/etcd/certs"
	"coreos/internal/fleet/api"
	"coreos/internal/fleet/schema"
)

// cluster remembers the last caller that has changed it.
type cluster struct {
	api.Cluster
	by    atomic.Value
	asked atomic.Int32
}

func (c *cluster) Machines(context.Context) ([]schema.Machine, error) {
	c.asked.Add(1)
	return nil, nil
}

func (c *cluster) Unit(context.Context, string) (schema.Unit, error) {
	return schema.Unit{}, schema.ErrNotFound
}

func (c *cluster) Create(_ context.Context, by string, _ schema.Unit) error {
	c.by.Store(by)
	return nil
}

// certificates makes certificates of an authority, a server and clients.
func certificates(t *testing.T, clients ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r := &certs.Request{
		Dir: dir, Machines: []certs.Machine{{Name: "server", Addresses: []string{"127.0.0.1"}}}, Clients: clients,
		Life: time.Hour, Renew: time.Minute, Now: time.Now(), Say: func(string, ...any) {},
	}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func tcp(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// client returns a client with a certificate from a directory; "" for none.
func client(t *testing.T, dir, name string) *http.Client {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authority)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "clients", name, "client.crt"), filepath.Join(dir, "clients", name, "client.key"))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// ask sends a request, and returns the status and the body; 0 if there was no answer.
func ask(c *http.Client, method, url, body string) (int, string, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// begin serves until the returned function is called.
func begin(t *testing.T, l net.Listener, c api.Cluster, s APISettings) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, err := serve(ctx, []net.Listener{l}, c, nil, Settings{API: s}, NewMetrics())
	if err != nil {
		t.Fatal(err)
	}
	end = func() { cancel(); ended() }
	t.Cleanup(end)
	return end
}

const unit = `{"desiredState":"inactive","options":[{"section":"Service","name":"ExecStart","value":"/bin/true"}]}`

func TestRoles(t *testing.T) {
	dir, other := certificates(t, "reader", "writer"), certificates(t, "writer")
	for name, c := range map[string]struct {
		writers          []string
		dir, who         string
		get, put         int // 0 is no answer
		changed, message string
	}{
		"reader":                 {writers: []string{"writer"}, dir: dir, who: "reader", get: 200, put: 403, message: "reader may read only: api_writers"},
		"writer":                 {writers: []string{"writer"}, dir: dir, who: "writer", get: 200, put: 201, changed: "writer"},
		"no writers":             {dir: dir, who: "writer", get: 200, put: 403, message: "writer may read only"},
		"all write":              {writers: []string{"*"}, dir: dir, who: "reader", get: 200, put: 201, changed: "reader"},
		"no certificate":         {writers: []string{"*"}, dir: dir},
		"of another authority":   {writers: []string{"*"}, dir: other, who: "writer"},
		"a server's is none":     {writers: []string{"*"}, dir: dir, who: "../server"},
		"a name that looks like": {writers: []string{"write", "writer2", "WRITER"}, dir: dir, who: "writer", get: 200, put: 403, message: "writer may read only"},
	} {
		t.Run(name, func(t *testing.T) {
			l, cluster := tcp(t), &cluster{}
			s := APISettings{CertFile: filepath.Join(dir, "server", "server.crt"), KeyFile: filepath.Join(dir, "server", "server.key"), CAFile: filepath.Join(dir, "ca.crt"), Writers: c.writers}
			begin(t, l, cluster, s)
			var caller *http.Client
			if c.who == "../server" {
				caller = client(t, dir, "")
				pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
				if err != nil {
					t.Fatal(err)
				}
				caller.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
			} else {
				caller = client(t, c.dir, c.who)
				// The test is about the trust of the server, not of the client.
				caller.Transport.(*http.Transport).TLSClientConfig.RootCAs = client(t, dir, "").Transport.(*http.Transport).TLSClientConfig.RootCAs
			}
			base := "https://" + l.Addr().String() + "/fleet/v1/"
			if code, _, err := ask(caller, http.MethodGet, base+"machines", ""); code != c.get {
				t.Errorf("GET: %d, %v; want %d", code, err, c.get)
			}
			code, text, err := ask(caller, http.MethodPut, base+"units/a.service", unit)
			if code != c.put || !strings.Contains(text, c.message) {
				t.Errorf("PUT: %d %s, %v; want %d, %q", code, text, err, c.put, c.message)
			}
			if by, _ := cluster.by.Load().(string); by != c.changed {
				t.Errorf("changed by %q, want %q", by, c.changed)
			}
			if plain, _, err := ask(http.DefaultClient, http.MethodGet, "http://"+l.Addr().String()+"/fleet/v1/machines", ""); plain == 200 {
				t.Errorf("without TLS: %d, %v", plain, err)
			}
		})
	}
}

func TestTCPNeedsCertificates(t *testing.T) {
	dir := certificates(t)
	crt, key, ca := filepath.Join(dir, "server", "server.crt"), filepath.Join(dir, "server", "server.key"), filepath.Join(dir, "ca.crt")
	for name, c := range map[string]struct {
		s    APISettings
		want string
	}{
		"nothing":        {want: "api_certfile, api_keyfile and api_cafile"},
		"no authority":   {s: APISettings{CertFile: crt, KeyFile: key}, want: "authorities of the API's callers"},
		"no certificate": {s: APISettings{CertFile: crt, KeyFile: key, CAFile: key}, want: "there are no certificates in"},
		"no key":         {s: APISettings{CertFile: crt, KeyFile: crt, CAFile: ca}, want: "certificate of the API"},
		"insecure":       {s: APISettings{Insecure: true}},
	} {
		t.Run(name, func(t *testing.T) {
			l, cluster := tcp(t), &cluster{}
			ctx, end := context.WithCancel(t.Context())
			ended, err := serve(ctx, []net.Listener{l}, cluster, nil, Settings{API: c.s}, NewMetrics())
			t.Cleanup(func() { end(); ended() })
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v; want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			code, text, err := ask(http.DefaultClient, http.MethodPut, "http://"+l.Addr().String()+"/fleet/v1/units/a.service", unit)
			if by, _ := cluster.by.Load().(string); code != 201 || !strings.HasPrefix(by, "127.0.0.1:") {
				t.Errorf("%d %s, %v, by %q", code, text, err, by)
			}
		})
	}
}
