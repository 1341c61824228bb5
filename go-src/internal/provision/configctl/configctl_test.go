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
		"words.yml": "#cloud-config\nhostname: node-$private_ipv4\ncoreos: {fleet: {public-ip: $public_ipv6}}\n", "windows": "#!/bin/sh\r\ntrue\r\n",
		"bom.yml": "\xef\xbb\xbf#cloud-config\nhostname: a\n", "blank.yml": "\n#cloud-config\nhostname: a\n", "broken.ign": "{\"ignition\": {\"version\": \"3.4.0\"},\n x}\n",
		"two.yml": "#cloud-config\nhostname: a\n---\nhostname: b\n", "name.yml": "#cloud-config\nhostname: a..b\n", "mime": "Content-Type: multipart/mixed\n",
		"words6.yml": "#cloud-config\nhostname: node-$private_ipv6\n", "usr.ign": `{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/usr/x"}]}}`,
		"group.ign":  `{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"a","groups":["sudo","x"]}]}}`,
		"groups.yml": "#cloud-config\nusers:\n- {name: a, groups: [sudo, wizards, a, rkt], primary_group: b, shell: /bin/bash}\n- name: b\n",
		"usr.bu":     "variant: flatcar\nversion: 1.1.0\nstorage:\n  files:\n    - path: /usr/x\n",
		"shell.yml":  "#cloud-config\nusers:\n- {name: a, shell: /bin/zsh}\n- {name: b, shell: /opt/bin/zsh}\nwrite_files: [{path: /opt/bin/zsh}]\n",
		"key.pub":    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b3 test\n", "large": strings.Repeat("x", 20<<20),
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
		{"validate words.yml", 0, "", ""},
		{"validate groups.yml", 0, "", `groups.yml: line 3, column 28: warning: users[0].groups[1]: there is no group "wizards"; it is left out`},
		{"validate shell.yml", 0, "", `shell.yml: line 3, column 20: warning: users[0].shell: there is no shell "/bin/zsh"`},
		{"validate words6.yml", 1, "", `hostname: "node-fd00::1": want`},
		{"validate windows", 0, "", "windows: line 1: warning: the script has line ends of Windows (CRLF)"},
		{"validate bom.yml", 1, "", "bom.yml: error: line 1: the text begins with a byte order mark (BOM"},
		{"validate blank.yml", 1, "", "blank.yml: error: line 1: there are blank lines"},
		{"validate broken.ign", 1, "", "broken.ign: error: line 2, column 2: it is JSON that breaks off"},
		{"validate two.yml", 1, "", "two.yml: line 4, column 1: error: a second YAML document"},
		{"validate name.yml", 1, "", `name.yml: line 2, column 11: error: hostname: "a..b": want`},
		{"validate mime", 1, "", "MIME"},
		{"validate usr.ign", 1, "", "usr.ign: line 1, column 61: error: $.storage.files.0.path: \"/usr/x\" cannot be written"},
		{"validate group.ign", 0, "", "the image has no group \"x\""},
		{"validate nowhere", 1, "", "nowhere"},
		{"validate large", 1, "", "too large"},
		{"validate usr.bu", 1, "", "usr.bu: line 5, column 13: error: $.storage.files.0.path: \"/usr/x\" cannot be written"},
		{"translate usr.bu", 0, `"path":"/usr/x"`, "cannot be written"},
		{"translate good.yml", 0, "#cloud-config\nhostname: a\n", ""},
		{"translate -d . web.bu", 0, `"sshAuthorizedKeys":["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b3 test"]`, ""},
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
