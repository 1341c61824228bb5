package sshclient_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/api/apitest"
	"coreos/internal/fleet/cli"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/sshclient"
	"coreos/internal/fleet/sshclient/sshtest"
)

func config(t *testing.T) sshclient.Config {
	return sshclient.Config{User: "core", Timeout: 10 * time.Second, KnownHosts: filepath.Join(t.TempDir(), "new", "known_hosts"), Ask: func(string) bool { return true }}
}

func TestRun(t *testing.T) {
	server := sshtest.New(t)
	c, err := config(t).Dial(t.Context(), server.Address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for command, want := range map[string]struct {
		status   int
		out, err string
	}{
		"echo a 'b c'":        {0, "a b c\n", ""},
		"cat":                 {0, "input", ""},
		"echo no >&2; exit 7": {7, "", "no\n"},
		"":                    {0, "a shell\n", ""},
		sshclient.Quote("printf", "%s|", "a'b", "", "$x", "web@1.service", `\x2d`, "*"): {0, `a'b||$x|web@1.service|\x2d|*|`, ""},
	} {
		var out, errs bytes.Buffer
		status, err := c.Run(command, sshclient.Streams{In: strings.NewReader("input"), Out: &out, Err: &errs}, false)
		if err != nil || status != want.status || out.String() != want.out || errs.String() != want.err {
			t.Errorf("%q: status %d, %q, %q, %v; want %+v", command, status, &out, &errs, err, want)
		}
	}
}

func TestHostKeys(t *testing.T) {
	server := sshtest.New(t)
	c := config(t)
	dial := func() error {
		client, err := c.Dial(t.Context(), server.Address, nil)
		if err == nil {
			err = client.Close()
		}
		return err
	}
	asked := ""
	c.Ask = func(question string) bool { asked += question; return false }
	if err := dial(); err == nil || !strings.Contains(err.Error(), "is not in "+c.KnownHosts) || !strings.Contains(asked, ssh.FingerprintSHA256(server.Key)) && !strings.Contains(asked, ssh.FingerprintSHA256(server.Other)) {
		t.Errorf("a host that is not known: %v; asked %q", err, asked)
	}
	c.Ask = func(string) bool { return true }
	if err := dial(); err != nil {
		t.Errorf("a host that the operator knows: %v", err)
	}
	c.Ask = nil
	if err := dial(); err != nil {
		t.Errorf("a host that is known now: %v", err)
	}
	text, err := os.ReadFile(c.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := ed25519.GenerateKey(rand.Reader)
	key, _ := ssh.NewPublicKey(other)
	host, _, _ := strings.Cut(string(text), " ")
	if err := os.WriteFile(c.KnownHosts, append([]byte(host+" "), ssh.MarshalAuthorizedKey(key)...), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Ask = func(string) bool { t.Error("asked about a key that changed"); return true }
	if err := dial(); err == nil || !strings.Contains(err.Error(), "somebody may intercept the connection") {
		t.Errorf("another key: %v", err)
	}
	for _, key := range []ssh.PublicKey{server.Key, server.Other} {
		if err := os.WriteFile(c.KnownHosts, append([]byte(host+" "), ssh.MarshalAuthorizedKey(key)...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dial(); err != nil {
			t.Errorf("one of two keys, %s: %v", key.Type(), err)
		}
	}
	c.KnownHosts = ""
	if err := dial(); err != nil {
		t.Errorf("keys are not checked: %v", err)
	}
}

func TestTroubleWithLogin(t *testing.T) {
	server := sshtest.New(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := config(t)
	c.Timeout = 300 * time.Millisecond
	if _, err := c.Dial(t.Context(), silent.Addr().String(), nil); err == nil || !strings.Contains(err.Error(), "no answer in 300ms") {
		t.Errorf("a host that says nothing: %v", err)
	}
	c.Timeout = 10 * time.Second
	c.User = "nobody"
	if _, err := c.Dial(t.Context(), server.Address, nil); err == nil || !strings.Contains(err.Error(), "as nobody: ssh: handshake failed") {
		t.Errorf("another user: %v", err)
	}
	t.Setenv("SSH_AUTH_SOCK", "/none")
	if _, err := c.Dial(t.Context(), server.Address, nil); err == nil || !strings.Contains(err.Error(), "ssh-agent of SSH_AUTH_SOCK") {
		t.Errorf("an agent that is gone: %v", err)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	if _, err := c.Dial(t.Context(), server.Address, nil); err == nil || !strings.Contains(err.Error(), "start an ssh-agent") {
		t.Errorf("no agent: %v", err)
	}
}

// TestTunnel reads the machines of a fleetd through SSH, over its unix socket and over TCP, and
// through one machine from another.
func TestTunnel(t *testing.T) {
	server := sshtest.New(t)
	var cluster apitest.Cluster
	cluster.Join(schema.Machine{ID: "1111111111111111", PrimaryIP: "127.0.0.1"})
	handler := &http.Server{Handler: api.Handler(&cluster, api.Config{})}
	defer handler.Close()
	socket := filepath.Join(t.TempDir(), "a fleet.sock")
	for network, address := range map[string]string{"unix": socket, "tcp": "127.0.0.1:0"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = handler.Serve(l) }()
		endpoint := "unix://" + socket
		if network == "tcp" {
			endpoint = "http://" + l.Addr().String()
		}
		t.Setenv("FLEETCTL_ENDPOINT", endpoint)
		t.Setenv("FLEETCTL_TUNNEL", server.Address)
		t.Setenv("FLEETCTL_STRICT_HOST_KEY_CHECKING", "false")
		var out bytes.Buffer
		if status := cli.Run(t.Context(), []string{"list-machines", "--no-legend"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: t.Output()}); status != 0 || out.String() != "11111111...\t127.0.0.1\t-\n" {
			t.Errorf("%s: status %d, %q", endpoint, status, &out)
		}
		_, port, _ := net.SplitHostPort(server.Address)
		out.Reset()
		if status := cli.Run(t.Context(), []string{"ssh", "--ssh-port", port, "1111", "--", "echo", "here;", "exit", "5"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: t.Output()}); status != 5 || out.String() != "here\n" {
			t.Errorf("%s: ssh: status %d, %q", endpoint, status, &out)
		}
	}
	commandsThere(t, server)
	var errs bytes.Buffer
	if status := cli.Run(t.Context(), []string{"--endpoint=unix:///none", "list-machines"}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &errs}); status != 1 || !strings.Contains(errs.String(), "fd-forward /none on") || !strings.Contains(errs.String(), "no such file") {
		t.Errorf("no socket there: status %d, %s", status, &errs)
	}
}

// commandsThere runs systemctl and journalctl on the machine of a unit.
func commandsThere(t *testing.T, server *sshtest.Server) {
	dir := t.TempDir()
	for _, name := range []string{"systemctl", "journalctl"} {
		script := "#!/bin/sh\necho $0 \"$@\" | sed 's|.*/||'\n[ $1 != status ] || exit 3\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	unit := filepath.Join(dir, `a\x2db@1.service`)
	everywhere := filepath.Join(dir, "everywhere.service")
	if err := os.WriteFile(unit, []byte("[Service]\nExecStart=/bin/true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(everywhere, []byte("[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(server.Address)
	for _, test := range []struct {
		line   []string
		status int
		want   string
	}{
		{[]string{"start", unit, everywhere}, 0, "Unit a\\x2db@1.service inactive\nUnit everywhere.service \nTriggered global unit everywhere.service start\nUnit a\\x2db@1.service launched on 11111111.../127.0.0.1\n"},
		{[]string{"status", unit, "--ssh-port", port}, 3, "systemctl status -l a\\x2db@1.service\n"},
		{[]string{"journal", unit, "--ssh-port", port, "-f"}, 0, "journalctl --unit a\\x2db@1.service --no-pager -n 10 --output short -f\n"},
		{[]string{"status", "everywhere", "--ssh-port", port}, 3, "systemctl status -l everywhere.service\n"},
		{[]string{"restart", "everywhere", "--ssh-port", port}, 0, "systemctl restart everywhere.service\n"},
		{[]string{"destroy", unit, "everywhere"}, 0, "Destroyed a\\x2db@1.service\nDestroyed everywhere.service\n"},
	} {
		var out bytes.Buffer
		status := cli.Run(t.Context(), test.line, cli.Streams{In: strings.NewReader(""), Out: &out, Err: t.Output()})
		if status != test.status || out.String() != test.want {
			t.Errorf("fleetctl %q: status %d, %q; want %d, %q", test.line, status, &out, test.status, test.want)
		}
	}
}

func TestAgentForwarding(t *testing.T) {
	server := sshtest.New(t)
	c, err := config(t).Dial(context.Background(), server.Address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, forward := range []bool{false, true} {
		if _, err := c.Run("true", sshclient.Streams{}, forward); err != nil {
			t.Fatal(err)
		}
		if got := server.Forwarded(); got != forward {
			t.Errorf("agent forwarded: %v, want %v", got, forward)
		}
	}
}
