package certs

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"coreos/internal/etcd/conn"
	"coreos/internal/provision/cloudconfig"
)

const days = 24 * time.Hour

// request returns a request for a machine and a client, which adds the lines that it prints
// to said.
func request(t *testing.T, dir string, said *[]string) *Request {
	t.Helper()
	m, err := ParseMachine("m0=127.0.0.1,m0.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return &Request{
		Dir: dir, Machines: []Machine{m}, Clients: []string{"root"}, Life: 365 * days, Renew: 30 * days, Now: time.Now(),
		Say: func(format string, args ...any) { *said = append(*said, fmt.Sprintf(format, args...)) },
	}
}

// TestTLS has a real etcd use the certificates.
func TestTLS(t *testing.T) {
	dir, said := t.TempDir(), []string{}
	r := request(t, dir, &said)
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	endpoint := serve(t, filepath.Join(dir, "m0"))
	client := filepath.Join(dir, "clients", "root")
	ca := filepath.Join(client, "ca.crt")
	tests := []struct {
		name   string
		config conn.Config
		gets   bool
	}{
		{"client's certificate", conn.Config{CAFile: ca, CertFile: filepath.Join(client, "client.crt"), KeyFile: filepath.Join(client, "client.key")}, true},
		{"none", conn.Config{CAFile: ca}, false},
		{"a server's", conn.Config{CAFile: ca, CertFile: filepath.Join(dir, "m0", "server.crt"), KeyFile: filepath.Join(dir, "m0", "server.key")}, false},
		{"no authority", conn.Config{CertFile: filepath.Join(client, "client.crt"), KeyFile: filepath.Join(client, "client.key")}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.config.Endpoints = []string{endpoint}
			c, err := conn.Dial(test.config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			limit := 10 * time.Second
			if !test.gets {
				limit = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if _, err := c.Put(ctx, "key", "value"); (err == nil) != test.gets {
				t.Errorf("got %v", err)
			}
		})
	}
}

// serve runs an etcd with the files of a machine and returns its endpoint.
func serve(t *testing.T, dir string) string {
	t.Helper()
	config := embed.NewConfig()
	config.Dir, config.LogLevel, config.LogOutputs = t.TempDir(), "fatal", []string{"/dev/null"}
	any := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{any}, []url.URL{any}
	config.ClientTLSInfo = transport.TLSInfo{
		CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key"),
		ClientCertFile: filepath.Join(dir, "peer.crt"), ClientKeyFile: filepath.Join(dir, "peer.key"),
		TrustedCAFile: filepath.Join(dir, "ca.crt"), ClientCertAuth: true,
	}
	config.PeerTLSInfo = transport.TLSInfo{
		CertFile: filepath.Join(dir, "peer.crt"), KeyFile: filepath.Join(dir, "peer.key"),
		TrustedCAFile: filepath.Join(dir, "ca.crt"), ClientCertAuth: true,
	}
	server, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("etcd does not start")
	}
	return "https://" + server.Clients[0].Addr().String()
}

// read returns the files of a directory by their names in it.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRenewal is which files a second run makes anew.
func TestRenewal(t *testing.T) {
	m0 := []string{"m0/server.crt", "m0/server.key", "m0/peer.crt", "m0/peer.key", "m0/cloud-config.yml"}
	root := []string{"clients/root/client.crt", "clients/root/client.key"}
	tests := []struct {
		name   string
		change func(*Request)
		want   []string
		says   string
	}{
		{"nothing to do", func(*Request) {}, nil, "kept m0/server.crt"},
		{"before it is time", func(r *Request) { r.Now = r.Now.Add(334 * days) }, nil, "kept"},
		{"near the end", func(r *Request) { r.Now = r.Now.Add(336 * days) }, append(m0, root...), "made m0/peer.crt, which ends on"},
		{"other addresses", func(r *Request) { r.Machines[0].Addresses = append(r.Machines[0].Addresses, "192.0.2.7") }, m0, "for other addresses"},
		{"key gone", func(r *Request) { os.Remove(filepath.Join(r.Dir, "clients/root/client.key")) }, root, "there was none"},
		{"key of another", func(r *Request) {
			text, _ := os.ReadFile(filepath.Join(r.Dir, "m0/server.key"))
			os.WriteFile(filepath.Join(r.Dir, "clients/root/client.key"), text, 0o600)
		}, root, "is not the key of"},
		{"not named", func(r *Request) { r.Now, r.Clients = r.Now.Add(336*days), nil }, m0, "clients/root/client.crt ends on"},
		{"another authority's", func(r *Request) {
			os.Remove(filepath.Join(r.Dir, "ca.key"))
			os.Remove(filepath.Join(r.Dir, "ca.crt"))
		}, append(append([]string{"ca.crt", "ca.key", "m0/ca.crt", "clients/root/ca.crt"}, m0...), root...), "another authority's"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, said := t.TempDir(), []string{}
			if err := request(t, dir, &said).Make(); err != nil {
				t.Fatal(err)
			}
			before := read(t, dir)
			said = nil
			r := request(t, dir, &said)
			test.change(r)
			if err := r.Make(); err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for _, name := range test.want {
				want[name] = true
			}
			for name, text := range read(t, dir) {
				if changed := text != before[name]; changed != want[name] {
					t.Errorf("%s: changed: %v", name, changed)
				}
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, test.says) {
				t.Errorf("no %q in:\n%s", test.says, all)
			}
		})
	}
}

func TestAuthority(t *testing.T) {
	dir, said := t.TempDir(), []string{}
	r := request(t, dir, &said)
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"ca.key": 0o600, "m0/server.key": 0o600, "m0/cloud-config.yml": 0o600, "ca.crt": 0o644, "m0/etcd.conf.env": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	r.Now = r.Now.Add(caLife - 100*days)
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	authority, _ := Read(filepath.Join(dir, "ca.crt"))
	if cert, err := Read(filepath.Join(dir, "m0", "server.crt")); err != nil || cert.NotAfter.After(authority.NotAfter) {
		t.Errorf("a certificate outlives the authority: %v", err)
	}
	if !strings.Contains(strings.Join(said, "\n"), "WARNING: the authority ends") {
		t.Error("nothing is said about the authority's end")
	}
	r.Now = r.Now.Add(200 * days)
	if err := r.Make(); err == nil || !strings.Contains(err.Error(), "ended on") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if err := r.Make(); err == nil || !strings.Contains(err.Error(), "restore the missing file") {
		t.Errorf("got %v", err)
	}
}

// TestCloudConfig has the machine's own parser read what is written for it.
// TestClockAhead has certificates that were made while the clock was years ahead.
func TestClockAhead(t *testing.T) {
	dir, said := t.TempDir(), []string{}
	r := request(t, dir, &said)
	right := r.Now
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	r.Now = right.Add(400 * days)
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	r.Now, said = right, nil
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	if cert, err := Read(filepath.Join(dir, "m0", "server.crt")); err != nil || cert.NotBefore.After(right) {
		t.Errorf("the certificate is not valid, %v", err)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "made m0/server.crt") || !strings.Contains(all, "when the clock was ahead") {
		t.Errorf("said:\n%s", all)
	}

	r = request(t, t.TempDir(), &said)
	r.Now = right.Add(400 * days)
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	r.Now = right
	if err := r.Make(); err == nil || !strings.Contains(err.Error(), "begins on") || !strings.Contains(err.Error(), "clock says") {
		t.Errorf("an authority that is not valid yet: %v", err)
	}
}

func TestCloudConfig(t *testing.T) {
	dir, said := t.TempDir(), []string{}
	if err := request(t, dir, &said).Make(); err != nil {
		t.Fatal(err)
	}
	files := read(t, filepath.Join(dir, "m0"))
	config, problems, err := cloudconfig.Parse([]byte(files["cloud-config.yml"]))
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	written := map[string]string{}
	for _, f := range config.WriteFiles {
		written[f.Path] = string(f.Data)
	}
	for _, name := range []string{"ca.crt", "server.crt", "server.key", "peer.crt", "peer.key"} {
		if _, ok := written["/etc/etcd/tls/"+name]; !ok {
			t.Errorf("%s is not written", name)
		}
	}
	if _, ok := written["/etc/etcd/etcd.conf.env"]; !ok {
		t.Error("the settings are not written")
	}
}

func TestParseMachine(t *testing.T) {
	for text, ok := range map[string]bool{
		"a=10.0.0.1": true, "a=10.0.0.1,a.example.com": true, "a=2001:db8::1": true, "a-1.b_c=host": true,
		"a": false, "=10.0.0.1": false, "../a=10.0.0.1": false, "a=": false, "a=10.0.0.1,": false, "a=b c": false, "clients=10.0.0.1": false, "a=-x": false,
	} {
		if m, err := ParseMachine(text); (err == nil) != ok {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"twice":        func(r *Request) { r.Machines = append(r.Machines, r.Machines[0]) },
		"names only":   func(r *Request) { r.Machines[0].Addresses = []string{"m0.example.com"} },
		"short life":   func(r *Request) { r.Life = r.Renew },
		"client's dir": func(r *Request) { r.Clients = []string{"../x"} },
	} {
		dir, said := t.TempDir(), []string{}
		r := request(t, dir, &said)
		change(r)
		if err := r.Make(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if files := read(t, dir); len(files) > 0 {
			t.Errorf("%s: wrote files", name)
		}
	}
}
