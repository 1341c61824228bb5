package configctl

import (
	"os"
	"strings"
	"testing"

	"coreos/internal/cli/program"
	"coreos/internal/cli/program/programtest"
	"coreos/internal/host/treetest"
)

const withKey = "variant: fcos\nversion: 1.5.0\npasswd:\n  users:\n    - name: core\n      ssh_authorized_keys_local: [key.pub]\n"

func TestFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	treetest.Write(t, ".", map[string]string{
		"good.yml": "#cloud-config\nhostname: a\n", "bad.yml": "#cloud-config\nhostname: [a]\n", "script": "#!/bin/sh\n",
		"web.bu": withKey, "wrong.bu": "variant: fcos\nversion: 1.5.0\nnonsense: 1\n", "none.bu": "variant: x\nversion: 1.0.0\n",
		"ok.ign": `{"ignition":{"version":"3.4.0"}}`, "bad.ign": `{"ignition":{"version":"9.0.0"}}`,
		"key.pub": "ssh-ed25519 AAAA test\n", "large": strings.Repeat("x", 20<<20),
	})
	programtest.Check(t, root, []programtest.Call{
		{"validate good.yml script ok.ign", 0, "", ""},
		{"validate -d . web.bu", 0, "", ""},
		{"validate web.bu", 1, "", "web.bu: error: "},
		{"validate good.yml bad.yml script", 1, "", "bad.yml: "},
		{"validate bad.yml", 1, "", "configctl: there are errors\n"},
		{"validate wrong.bu", 0, "", "wrong.bu: line 3, column 1: warning: "},
		{"validate none.bu", 1, "", "none.bu: error: "},
		{"validate bad.ign", 1, "", "bad.ign: error: "},
		{"validate nowhere", 1, "", "nowhere"},
		{"validate large", 1, "", "too large"},
		{"translate good.yml", 0, "#cloud-config\nhostname: a\n", ""},
		{"translate -d . web.bu", 0, `"sshAuthorizedKeys":["ssh-ed25519 AAAA test"]`, ""},
		{"translate -d . -o out web.bu", 0, "", ""},
		{"translate -o out2 none.bu", 1, "", "configctl: none.bu: "},
	})
	if info, err := os.Stat("out"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("out: %v, %v", info, err)
	}
	if _, err := os.Stat("out2"); err == nil {
		t.Error("a config with errors was written")
	}
}

func TestStandardInput(t *testing.T) {
	var out, err strings.Builder
	status := program.Run(t.Context(), root(), []string{"translate", "-"}, program.Streams{In: strings.NewReader("#!/bin/sh\n"), Out: &out, Err: &err})
	if status != 0 || out.String() != "#!/bin/sh\n\n" {
		t.Errorf("status %d, out %q, err %q", status, out.String(), err.String())
	}
}

func TestMisuse(t *testing.T) {
	programtest.Check(t, root, []programtest.Call{
		{"", 0, "Available Commands", ""},
		{"validate", 2, "", "requires at least 1 arg(s)"},
		{"translate a b", 2, "", "accepts 1 arg(s), received 2"},
		{"convert a", 2, "", `unknown command "convert"`},
		{"translate --strict a", 2, "", "unknown flag: --strict"},
	})
}
