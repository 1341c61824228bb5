package cluster

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/etcd/certs"
	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/member"
	"coreos/test/etcdtest"
)

// TestCerts has machines that know nothing but what etcd-memberctl certs made for them
// become a cluster, and takes new certificates while it runs.
func TestCerts(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 2, etcdtest.NoFsync())
	dir := t.TempDir()
	r := &certs.Request{Dir: dir, Clients: []string{"root"}, Life: 365 * 24 * time.Hour, Now: time.Now(), Say: t.Logf}
	var endpoints []string
	for i := range c.Len() {
		u, err := url.Parse(c.Endpoint(i))
		if err != nil {
			t.Fatal(err)
		}
		r.Machines = append(r.Machines, certs.Machine{Name: fmt.Sprintf("m%d", i), Addresses: []string{u.Hostname()}})
		endpoints = append(endpoints, "https://"+u.Host)
	}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	for i := range c.Len() {
		become(t, c.Member(i), filepath.Join(dir, fmt.Sprintf("m%d", i)))
	}
	client := filepath.Join(dir, "clients", "root")
	config := conn.Config{Endpoints: endpoints, CAFile: filepath.Join(client, "ca.crt"), CertFile: filepath.Join(client, "client.crt"), KeyFile: filepath.Join(client, "client.key")}
	waitWell(t, config)

	// On the machine itself clients need none of that, nor does etcd's gateway.
	command := exec.Command("ip", "netns", "exec", c.Member(0).Namespace(), "curl", "-sS", "-m", "10", "-d", "{}", "http://127.0.0.1:2379/v3/maintenance/status")
	if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "dbSize") {
		t.Errorf("on loopback: %v: %s", err, out)
	}

	before := serial(t, config, endpoints[0])
	r.Renew, r.Life = 366*24*time.Hour, 500*24*time.Hour
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	if serial(t, config, endpoints[0]) == before {
		t.Error("etcd still shows the former certificate")
	}
	waitWell(t, config)
}

// become makes a member use the settings and certificates in a machine's directory.
func become(t *testing.T, member *etcdtest.Member, dir string) {
	t.Helper()
	if err := member.Kill(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "etcd.conf.env"))
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Fields(strings.ReplaceAll(string(text), certs.OnMachine, dir))
	if err := member.Renew(append(env, "ETCD_HEARTBEAT_INTERVAL=50", "ETCD_ELECTION_TIMEOUT=500", "ETCD_UNSAFE_NO_FSYNC=true")); err != nil {
		t.Fatal(err)
	}
	if err := member.Start(); err != nil {
		t.Fatal(err)
	}
}

// waitWell waits until all members are healthy.
func waitWell(t *testing.T, config conn.Config) *member.Cluster {
	t.Helper()
	ctx := limit(t)
	for {
		cluster, err := member.Survey(ctx, config)
		if err == nil {
			well := 0
			for _, m := range cluster.Members {
				if m.Healthy() && !m.Learner {
					well++
				}
			}
			if well == len(cluster.Members) {
				return cluster
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("the cluster is not well:", cluster, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// serial is the serial number of the certificate that a server shows.
func serial(t *testing.T, config conn.Config, endpoint string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(endpoint, "https://"), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
