package cloudconfig

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestOneErrorEach has one mistake in each entry of a list.
func TestOneErrorEach(t *testing.T) {
	for entry, want := range map[string]string{
		"write_files: [{path: /usr/x, content: a}]":                      "write_files[0].path: \"/usr/x\": want a path outside of /usr, which cannot be written; the file is left out",
		"write_files: [{path: etc/x}]":                                   "; the file is left out",
		"write_files: [{path: /etc/x, owner: '-R'}]":                     "want user or user:group; the file is left out",
		"write_files: [{path: /etc/x, permissions: 9}]":                  "; the file is left out",
		"write_files: [{path: /etc/x, mode: 0644}]":                      "write_files[0].mode: no such key; left out. Known are: content, encoding, owner, path, permissions; the file is left out",
		"write_files: [{path: /etc/x, encoding: b64, content: '*'}]":     "the file /etc/x is left out",
		"write_files: [{content: x}]":                                    "write_files[0]: the file has no path; left out",
		"users: [{name: 'a b'}]":                                         "; the user is left out",
		"users: [{nam: a}]":                                              "; the user is left out",
		"users: [{gecos: a}]":                                            "users[0]: the user has no name; left out",
		"coreos: {units: [{name: web}]}":                                 "; the unit is left out",
		"coreos: {units: [{content: x}]}":                                "the unit has no name",
		"coreos: {units: [{name: a.service, drop_ins: [{name: x}]}]}":    "; the drop-in is left out",
		"coreos: {units: [{name: a.service, drop_ins: [{content: x}]}]}": "the drop-in has no name",
	} {
		_, problems := parse(t, entry)
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s: problems %q, want one with %q", entry, problems, want)
		}
	}
}

func TestBinary(t *testing.T) {
	for text, want := range map[string]string{
		"content: !!binary aGVsbG8K":                                         "hello\n",
		"content: !<tag:yaml.org,2002:binary> aGVsbG8K":                      "hello\n",
		"content: !!binary |\n    aGVs\n    bG8K":                            "hello\n",
		"content: !!binary YUdWc2JHOEs=, encoding: base64":                   "hello\n",
		"encoding: gzip, content: !!binary " + gzipped([]byte("packed\x00")): "packed\x00",
		"content: !!binary AAEC/w==":                                         "\x00\x01\x02\xff",
		"content: !!str aGVsbG8K":                                            "aGVsbG8K",
		"content: aGVsbG8K":                                                  "aGVsbG8K",
	} {
		if !strings.Contains(text, "|") {
			text = "{path: /etc/x, " + text + "}"
		} else {
			text = "path: /etc/x\n  " + text
		}
		c, problems := parse(t, "write_files:\n- "+text+"\n")
		if len(problems) > 0 || len(c.WriteFiles) != 1 || string(c.WriteFiles[0].Data) != want {
			t.Errorf("%s: %+v, problems %q", text, c.WriteFiles, problems)
		}
	}
	c, problems := parse(t, "hostname: !!binary bm9kZS0x\n")
	if c.Hostname != "node-1" || len(problems) > 0 {
		t.Errorf("hostname %q, problems %q", c.Hostname, problems)
	}
}

func TestAccounts(t *testing.T) {
	for _, name := range []string{"ada.lovelace", "Ada", "_x", "a-b", "0day", "ada_l2", strings.Repeat("a", 32), "machine$"} {
		c, problems := parse(t, "users: [{name: "+name+"}]\nwrite_files: [{path: /etc/x, owner: '"+name+":"+name+"'}]\n")
		if len(problems) > 0 || len(c.Users) != 1 || c.Users[0].Name != name || len(c.WriteFiles) != 1 {
			t.Errorf("%s: %+v, problems %q", name, c.Users, problems)
		}
	}
	for _, name := range []string{"a b", "a:b", "a,b", "a/b", "-a", "~a", "+a", "ä", "12", ".", "..", strings.Repeat("a", 33), "a$b"} {
		if c, problems := parse(t, "users: [{name: '"+name+"'}]\n"); len(problems) != 1 || len(c.Users) > 0 {
			t.Errorf("%s: %+v, problems %q", name, c.Users, problems)
		}
	}
}

// TestListsAsText has lists that are written as one text.
func TestListsAsText(t *testing.T) {
	for _, text := range []string{
		"groups: 'sudo,docker'", "groups: 'sudo, docker'", "groups: sudo docker", "groups: [sudo, docker]", "groups: [docker, sudo]", "groups: |\n  sudo\n  docker",
	} {
		c, problems := parse(t, "users:\n- name: a\n  "+strings.ReplaceAll(text, "\n", "\n  ")+"\n")
		if len(problems) > 0 || len(c.Users) != 1 {
			t.Fatalf("%s: %+v, problems %q", text, c.Users, problems)
		}
		slices.Sort(c.Users[0].Groups)
		if !reflect.DeepEqual(c.Users[0].Groups, []string{"docker", "sudo"}) {
			t.Errorf("%s: groups %q", text, c.Users[0].Groups)
		}
	}
	two := []string{key + " a", key + " b"}
	for _, text := range []string{
		"|\n  " + two[0] + "\n  " + two[1] + "\n", "\n- " + two[0] + "\n- " + two[1] + "\n", "\n- |\n  # mine\n  " + two[0] + "\n\n  " + two[1] + "\n",
	} {
		c, problems := parse(t, "ssh_authorized_keys: "+text)
		if len(problems) > 0 || !slices.Equal(c.SSHAuthorizedKeys, two) {
			t.Errorf("%s: keys %q, problems %q", text, c.SSHAuthorizedKeys, problems)
		}
	}
}

func TestHostnames(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := "gke-cluster-1-default-pool-0a1b2c3d-xyz9.europe-west1-b.c.a-project-of-ours.internal"
	for name, want := range map[string]string{
		"a": "a", "a.b": "a.b", "A-1.example.com": "A-1.example.com", "a.": "a", label: label, label + ".b": label, "1": "1",
		long: "gke-cluster-1-default-pool-0a1b2c3d-xyz9",
	} {
		c, problems := parse(t, "hostname: "+name+"\n")
		if len(name) <= 64 && len(problems) > 0 || len(name) > 64 && (len(problems) != 1 || !strings.Contains(problems[0], "warning: hostname: ")) {
			t.Errorf("%s: problems %q", name, problems)
		}
		if c.Hostname == "" || KernelHostname(c.Hostname) != want {
			t.Errorf("%s: hostname %q, for the kernel %q", name, c.Hostname, KernelHostname(c.Hostname))
		}
	}
	for _, name := range []string{"a..b", ".a", "-a", "a-", "a.-b", "a_b", "a b", "ä", label + "a", "a.b..", ".", strings.Repeat("a.", 127) + "b"} {
		if c, problems := parse(t, "hostname: '"+name+"'\n"); c.Hostname != "" || len(problems) != 1 {
			t.Errorf("%s: %q, problems %q", name, c.Hostname, problems)
		}
	}
}

func TestScriptOfWindows(t *testing.T) {
	c, problems := parse(t, "write_files: [{path: /opt/x, content: \"#!/bin/sh\\r\\necho\\r\\n\"}]\n")
	if len(c.WriteFiles) != 1 || len(problems) != 1 || !strings.Contains(problems[0], "warning: write_files[0].content: the script /opt/x has line ends of Windows") {
		t.Errorf("%+v, problems %q", c.WriteFiles, problems)
	}
}

func TestSecondDocument(t *testing.T) {
	for text, want := range map[string]int{
		"hostname: a\n": 0, "---\nhostname: a\n": 0, "hostname: a\n---\n": 0, "hostname: a\n...\n": 0, "hostname: a\n--- \n# none\n": 0,
		"hostname: a\n---\nhostname: b\n": 1, "hostname: a\n...\n---\n- x\n---\ny\n": 1,
	} {
		c, problems := parse(t, text)
		if c.Hostname != "a" || len(problems) != want {
			t.Errorf("%q: %q, problems %q", text, c.Hostname, problems)
		}
	}
	if _, problems := parse(t, "hostname: a\n---\n\nhostname: b\n"); len(problems) != 1 || !strings.HasPrefix(problems[0], "line 5, column 1: error: a second YAML document") {
		t.Errorf("problems %q", problems)
	}
	if _, _, err := Parse([]byte("#cloud-config\nhostname: a\n---\nusers: [\n")); err == nil {
		t.Error("a second document that is no YAML is no error")
	}
}
