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

func TestValidate(t *testing.T) {
	for text, want := range map[string]string{
		"storage:\n  files:\n    - path: /usr/x\n":                                                  "line 5, column 13: error: $.storage.files.0.path: \"/usr/x\" cannot be written",
		"passwd:\n  users:\n    - name: a\n      groups: [b, sudo]\n":                               "line 6, column 16: warning: $.passwd.users.0.groups.0: the image has no group \"b\"",
		"passwd:\n  users:\n    - name: a\n      ssh_authorized_keys: [x]\n":                        "line 6, column 29: warning: $.passwd.users.0.ssh_authorized_keys.0",
		"storage:\n  luks:\n    - {name: x, device: /dev/vdb, clevis: {tpm2: true}}\n":              "line 5, column 43: error: $.storage.luks.0.clevis",
		"storage:\n  files:\n    - path: x\n":                                                       "path not absolute",
		"storage:\n  files:\n    - path: /etc/docker/daemon.json\n      contents: {inline: '{}'}\n": "",
	} {
		problems, err := Validate([]byte("variant: flatcar\nversion: 1.1.0\n"+text), "")
		told := strings.Join(problems, "\n")
		if !strings.Contains(told, want) || (want == "") != (told == "") || (err != nil) != strings.Contains(told, "error: ") {
			t.Errorf("%s: %s, error %v", text, told, err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
