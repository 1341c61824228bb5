package etcdctl

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestWantsDefault(t *testing.T) {
	for _, test := range []struct {
		args, environment string
		want              bool
	}{
		{"put a b", "HOME=/ ETCDCTL_API=3 ETCDCTL_USER=root:x", true},
		{"put -- --endpoints", "", true},
		{"member list -w table --command-timeout=5s", "ETCDCTL_ENDPOINTS=", true},
		{"--endpoints=http://10.0.0.1:2379 put a b", "", false},
		{"get a --endpoints http://10.0.0.1:2379", "", false},
		{"get a -d example.com", "", false},
		{"get a --discovery-srv=example.com", "", false},
		{"get a --cacert ca.crt", "", false},
		{"get a", "ETCDCTL_ENDPOINTS=http://10.0.0.1:2379", false},
		{"get a", "ETCDCTL_CACERT=/ca.crt", false},
		{"get a", "ETCDCTL_INSECURE_SKIP_TLS_VERIFY=true", false},
	} {
		if got := wantsDefault(strings.Fields(test.args), strings.Fields(test.environment)); got != test.want {
			t.Errorf("%q with %q: %t", test.args, test.environment, got)
		}
	}
}

func TestOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if opens(path) {
		t.Error("a socket that is not there")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if !opens(path) {
		t.Error("a socket that is there")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if opens(path) {
		t.Error("a socket that an etcd has left")
	}
}
