package envfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `# the operator's
ETCD_NAME=old

ETCD_QUOTA_BACKEND_BYTES="4294967296"
ETCD_INITIAL_CLUSTER=a=http://10.0.0.1:2380,\
b=http://10.0.0.2:2380
ETCD_DISCOVERY=https://example.com/x
ETCD_DISCOVERY_SRV='x'
 ETCD_NAME = last
`

func TestGet(t *testing.T) {
	for _, text := range []string{sample, strings.ReplaceAll(sample, "\n", "\r\n"), "# a comment \\\n" + sample} {
		f := write(t, text)
		for name, want := range map[string]string{
			"ETCD_NAME": "last", "ETCD_QUOTA_BACKEND_BYTES": "4294967296", "ETCD_DISCOVERY_SRV": "x",
			"ETCD_INITIAL_CLUSTER": "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380", "ETCD": "",
		} {
			if got := f.Get(name); got != want {
				t.Errorf("%q: %s: got %q, want %q", text, name, got, want)
			}
		}
	}
}

func write(t *testing.T, text string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestChange(t *testing.T) {
	f := write(t, sample)
	for name, value := range map[string]string{"ETCD_NAME": "new", "ETCD_INITIAL_CLUSTER": "c=http://10.0.0.3:2380"} {
		if err := f.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	f.Unset("ETCD_DISCOVERY")
	f.SetComment("# mark: ", "one")
	f.SetComment("# mark: ", "two")
	if err := f.Write(); err != nil {
		t.Fatal(err)
	}
	want := `# mark: two
# the operator's
ETCD_NAME=old

ETCD_QUOTA_BACKEND_BYTES="4294967296"
ETCD_INITIAL_CLUSTER=c=http://10.0.0.3:2380
ETCD_NAME=new
`
	got, err := os.ReadFile(f.path)
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if info, err := os.Stat(f.path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v: it must stay", info.Mode(), err)
	}
	if got := f.Comment("# mark: "); got != "two" {
		t.Errorf("got comment %q", got)
	}
	if f.SetComment("# mark: ", ""); f.Comment("# mark: ") != "" {
		t.Error("the comment is still there")
	}
}

func TestRefused(t *testing.T) {
	for _, value := range []string{"a b", "a\nETCD_X=1", `a"`, `a\`, "a#b"} {
		if err := New("x").Set("ETCD_NAME", value); err == nil {
			t.Errorf("%q was taken", value)
		}
	}
}

func TestNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd", "env")
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set("ETCD_NAME", "a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "ETCD_NAME=a\n" {
		t.Errorf("got %q", text)
	}
}
