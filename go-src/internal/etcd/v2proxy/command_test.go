package v2proxy

import (
	"os"
	"path/filepath"
	"testing"

	"coreos/internal/cli/program/programtest"
)

func TestCommand(t *testing.T) {
	programtest.Check(t, command, []programtest.Call{
		{"-help", 0, "ETCD2_PROXY_LISTEN_CERT is that of --listen-cert", ""},
		{"serve", 2, "", `unexpected argument "serve"`},
		{"-cert x", 2, "", "[cert key]"},
		{"-listen-key x", 2, "", "[listen-cert listen-key]"},
		{"-password x -password-file y", 2, "", "[password password-file]"},
		{"-timeout soon", 2, "", "invalid argument"},
		{"-password-file /none/x", 1, "", "etcd2-proxy: --password-file: open /none/x"},
		{"-listen ftp://127.0.0.1:0", 1, "", "ftp://127.0.0.1:0"},
	})
}

// TestCommandEnvironment counts the environment when flags have to go together.
func TestCommandEnvironment(t *testing.T) {
	t.Setenv("ETCD2_PROXY_CERT", "x")
	programtest.Check(t, command, []programtest.Call{{"", 2, "", "[cert key]"}})
	t.Setenv("ETCD2_PROXY_MAX_WAITS", "many")
	programtest.Check(t, command, []programtest.Call{{"-key y", 2, "", "ETCD2_PROXY_MAX_WAITS"}})
}

func TestReadPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("secret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var config Config
	if err := readPassword(&config, path); err != nil || config.Password != "secret" {
		t.Errorf("got %q, %v", config.Password, err)
	}
}
