package butane

import (
	"errors"
	"strings"
	"testing"

	"coreos/internal/provision/ignition"
)

func TestTranslate(t *testing.T) {
	tests := []struct {
		name, text string
		config     string // in the result
		problem    string
		refused    bool
	}{
		{"good", "variant: flatcar\nversion: 1.1.0\nsystemd: {units: [{name: x.service, enabled: true}]}\n", `"name":"x.service"`, "", false},
		{"wrong type", "variant: fcos\nversion: 1.5.0\nsystemd: {units: [{name: 1.5, enabled: maybe}]}\n", "", "line 3", true},
		{"relative path", "variant: flatcar\nversion: 1.1.0\nstorage:\n  files:\n    - path: x\n", "", "line 5, column 13: error: $.storage.files.0.path", true},
		{"a file of the host", "variant: flatcar\nversion: 1.1.0\nstorage: {files: [{path: /x, contents: {local: passwd}}]}\n", "", "local", true},
		{"a file in /usr", "variant: flatcar\nversion: 1.1.0\nstorage:\n  files:\n    - path: /usr/x\n", "", "line 5, column 13: error: $.storage.files.0.path: \"/usr/x\" cannot be written", true},
		{"an unknown group", "variant: flatcar\nversion: 1.1.0\npasswd:\n  users:\n    - name: a\n      groups: [b, sudo]\n", `"name":"a"`, "line 6, column 16: warning: $.passwd.users.0.groups.0: the image has no group \"b\"", false},
		{"keys in snake case", "variant: flatcar\nversion: 1.1.0\npasswd:\n  users:\n    - name: a\n      ssh_authorized_keys: [x]\n", `"name":"a"`, "line 6, column 29: warning: $.passwd.users.0.ssh_authorized_keys.0", false},
		{"clevis", "variant: flatcar\nversion: 1.1.0\nstorage:\n  luks:\n    - {name: x, device: /dev/vdb, clevis: {tpm2: true}}\n", "", "line 5, column 43: error: $.storage.luks.0.clevis", true},
		{"no variant", "version: 1.1.0\n", "", "variant", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, problems, err := Translate([]byte(test.text), "")
			if errors.Is(err, ignition.ErrConfig) != test.refused {
				t.Errorf("got error %v", err)
			}
			if told := strings.Join(append(problems, errorText(err)), "\n"); !strings.Contains(told, test.problem) {
				t.Errorf("told was:\n%s\nwithout %q", told, test.problem)
			}
			if !strings.Contains(string(config), test.config) {
				t.Errorf("got %s", config)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
