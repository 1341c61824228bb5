package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"coreos/internal/cli/program/programtest"
	"coreos/internal/etcd/servertest"
)

var etcdURL string

func TestMain(m *testing.M) { servertest.Main(m, &etcdURL) }

// environment writes an empty file of settings and returns its flag.
func environment(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd.conf.env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return " --env-file " + path
}

func TestMisuse(t *testing.T) {
	env := environment(t, "")
	programtest.Check(t, root, []programtest.Call{
		{"", 0, "Available Commands", ""},
		{"--help", 0, "3 for warnings (check)", ""},
		{"defrg", 2, "", `unknown command "defrg"; did you mean defrag?`},
		{"--nonsense", 2, "", "unknown flag: --nonsense"},
		{"certs", 2, "", "give --dir, and at least one --machine or --client"},
		{"certs --dir x", 2, "", "give --dir"},
		{"certs --dir x --machine a", 2, "", "is neither an IP address nor a DNS name"},
		{"certs x", 2, "", `unexpected argument "x": etcd-memberctl certs takes none`},
		{"replace", 2, "", "want one argument, the dead member's name or id"},
		{"replace dead", 2, "", "give the URLs of members that are alive with --endpoint"},
		{"join", 2, "", "give the URLs of members that are alive with --endpoint"},
		{"restore", 2, "", "want one argument, the file of a snapshot"},
		{"check --endpoints http://a,http://b" + env, 2, "", "this command works on one member: give one --endpoint"},
		{"snapshot --endpoint http://a --endpoint http://b" + env, 2, "", "give one --endpoint"},
		{"defrag --wait soon", 2, "", "invalid argument"},
		{"check --env-file /none/x --endpoint nonsense", 1, "", "nonsense"},
	})
}

func TestCerts(t *testing.T) {
	t.Chdir(t.TempDir())
	programtest.Check(t, root, []programtest.Call{
		{"certs --dir pki --machine a=192.0.2.1 --machine b=192.0.2.2,b.example --client backup", 0, "made ", ""},
		{"certs --dir pki --machine a=192.0.2.1 --machine b=192.0.2.2,b.example --client backup", 0, "kept ", ""},
		{"certs --dir pki --machine a=192.0.2.1 --days 400 --renew-before 380", 0, "WARNING: ", ""},
	})
	for _, path := range []string{"pki/a", "pki/b", "pki/clients/backup"} {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestSnapshot takes snapshots of an etcd, and begins a cluster with one of them.
func TestSnapshot(t *testing.T) {
	t.Chdir(t.TempDir())
	env := environment(t, "") + " --endpoint " + etcdURL
	programtest.Check(t, root, []programtest.Call{
		{"snapshot --dir snapshots --keep 1" + env, 0, ", verified\n", ""},
		{"snapshot --dir snapshots --keep 0" + env, 1, "", "want 1 or more"},
		{"snapshot --dir snapshots --timeout 1ns" + env, 1, "", "etcd-memberctl: "},
	})
	found, err := filepath.Glob("snapshots/etcd-*.db")
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots: %q, %v", found, err)
	}
	restore := "restore --no-start --name me --data-dir data" + env + " "
	programtest.Check(t, root, []programtest.Call{
		{restore + "none.db", 1, "", "none.db"},
		{restore + found[0], 0, "restored " + found[0] + " as a new cluster with the one member me at http://localhost:2380\n", ""},
		{restore + found[0], 0, "moved the former data to data-former/20", ""},
	})
	if err := os.Truncate(found[0], 100); err != nil {
		t.Fatal(err)
	}
	programtest.Check(t, root, []programtest.Call{{restore + found[0], 1, "", "etcd-memberctl: "}})
}

// TestVerifyData looks at data of etcd 2, at none, and at what is no data at all.
func TestVerifyData(t *testing.T) {
	old := t.TempDir()
	if err := os.MkdirAll(filepath.Join(old, "member", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "member", "wal", "0-0.wal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	odd := t.TempDir()
	if err := os.WriteFile(filepath.Join(odd, "member"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	programtest.Check(t, root, []programtest.Call{
		{"verify-data --data-dir " + t.TempDir(), 0, "", ""},
		{"verify-data --data-dir " + old, 1, "", "has data of etcd 2: this etcd does not understand the data"},
		{"verify-data --data-dir " + odd, 0, "", ""},
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	call := "check --endpoint " + etcdURL + " --data-dir " + dir
	programtest.Check(t, root, []programtest.Call{
		{call + environment(t, ""), 0, "OK: 1 of 1 members are well\n", ""},
		{"certs --days 5 --renew-before 1 --machine a=192.0.2.1 --dir " + dir, 0, "made a/server.crt", ""},
		{call + environment(t, "ETCD_CERT_FILE="+dir+"/a/server.crt\n"), 3, "WARNING: ", ""},
	})
}

// TestCheckNoAnswer waits as long as etcd may take to answer.
func TestCheckNoAnswer(t *testing.T) {
	t.Parallel()
	programtest.Check(t, root, []programtest.Call{
		{"check --endpoint http://127.0.0.1:1 --data-dir " + t.TempDir() + environment(t, ""), 1, "", "127.0.0.1:1"},
	})
}

// TestSettings calls a command with flags, and checks which data and certificates it uses.
func TestSettings(t *testing.T) {
	const env = "ETCD_DATA_DIR=/srv/etcd\nETCD_TRUSTED_CA_FILE=/ca.crt\nETCD_CERT_FILE=/server.crt\nETCD_KEY_FILE=/server.key\n"
	t.Setenv("ETCD_MEMBERCTL_ETCD_USERNAME", "root")
	t.Setenv("ETCD_MEMBERCTL_ETCD_PASSWORD", "secret")
	for name, test := range map[string]struct {
		env, flags string
		data, cert string
		ca, user   string
	}{
		"no certificates for clients": {env, "", "/srv/etcd", "", "/ca.crt", "root"},
		"the server's certificate":    {env + "ETCD_CLIENT_CERT_AUTH=true\n", "", "/srv/etcd", "/server.crt", "/ca.crt", "root"},
		"the file names the data":     {env, "--data-dir /data", "/srv/etcd", "", "/ca.crt", "root"},
		"the file is empty":           {"", "--data-dir /data", "/data", "", "", "root"},
		"flags":                       {env, "--etcd-cafile /mine.crt --etcd-username me", "/srv/etcd", "", "/mine.crt", "me"},
	} {
		t.Run(name, func(t *testing.T) {
			o := new(options)
			command := &cobra.Command{RunE: func(command *cobra.Command, _ []string) error {
				_, err := o.settings(command)
				return err
			}}
			o.etcdFlags(command.Flags())
			command.SetArgs(strings.Fields(environment(t, test.env) + " " + test.flags))
			if err := command.Execute(); err != nil {
				t.Fatal(err)
			}
			if o.data != test.data || o.etcd.CertFile != test.cert || o.etcd.CAFile != test.ca || o.etcd.Username != test.user || o.etcd.Password != "secret" {
				t.Errorf("got %+v", o)
			}
		})
	}
}
