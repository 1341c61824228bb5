package cloudinit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coreos/internal/provision/cloudconfig"
)

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b3"

// TestUnknownGroups has accounts in groups that the machine does not have.
func TestUnknownGroups(t *testing.T) {
	for name, test := range map[string]struct {
		user cloudconfig.User
		want string // the call of shadow-utils
		err  string
	}{
		"one of two":      {cloudconfig.User{Name: "elroy", Groups: []string{"sudo", "wizards"}}, "useradd --shell /bin/bash --groups sudo --create-home -- elroy", "there is no group wizards on this machine"},
		"all":             {cloudconfig.User{Name: "elroy", Groups: []string{"wizards"}}, "useradd --shell /bin/bash --create-home -- elroy", "wizards"},
		"primary":         {cloudconfig.User{Name: "elroy", PrimaryGroup: "wizards"}, "useradd --shell /bin/bash --create-home -- elroy", "wizards"},
		"there already":   {cloudconfig.User{Name: "core", Groups: []string{"wizards", "docker"}}, "usermod --append --groups docker -- core", "wizards"},
		"name of a group": {cloudconfig.User{Name: "docker"}, "useradd --shell /bin/bash --create-home --no-user-group -- docker", ""},
		"and wants it":    {cloudconfig.User{Name: "docker", PrimaryGroup: "docker"}, "useradd --gid docker --shell /bin/bash --create-home -- docker", ""},
		"none is unknown": {cloudconfig.User{Name: "elroy", Groups: []string{"sudo"}, PrimaryGroup: "docker"}, "useradd --gid docker --shell /bin/bash --groups sudo --create-home -- elroy", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			test.user.SSHAuthorizedKeys = []string{goodKey}
			told, err := m.apply(&cloudconfig.Config{Users: []cloudconfig.User{test.user}})
			if !slices.Equal(told, []string{test.want}) {
				t.Errorf("told %q, want %q", told, test.want)
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || strings.Count(err.Error(), test.err) != 1) {
				t.Errorf("error %v, want %q once", err, test.err)
			}
			m.want("home/"+test.user.Name+"/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+"\n")
		})
	}
}

// TestKeysWithoutPassword has a password that cannot be set; the keys count all the same.
func TestKeysWithoutPassword(t *testing.T) {
	m := newMachine(t)
	m.fail = "chpasswd"
	_, err := m.apply(&cloudconfig.Config{Users: []cloudconfig.User{{Name: "ada", PasswordHash: "$6$x", SSHAuthorizedKeys: []string{goodKey}}}})
	if err == nil || !strings.Contains(err.Error(), "user ada: password: ") {
		t.Errorf("error %v", err)
	}
	m.want("home/ada/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+"\n")
}

func TestShells(t *testing.T) {
	m := newMachine(t)
	m.put("usr/bin/fish", "")
	c := &cloudconfig.Config{
		Users:      []cloudconfig.User{{Name: "a", Shell: "/usr/bin/fish"}, {Name: "b", Shell: "/opt/bin/zsh"}, {Name: "c", Shell: "/bin/zsh"}},
		WriteFiles: []cloudconfig.File{{Path: "/opt/bin/zsh", Mode: 0o755}},
	}
	if _, err := m.apply(c); err == nil || err.Error() != "user c: the shell /bin/zsh is not on this machine: the user cannot log in" {
		t.Errorf("error %v", err)
	}
}

func TestImportedKeys(t *testing.T) {
	const url, shown = "https://me:s3cret@keys.example.com/ada", "https://xxxxx@keys.example.com/ada"
	for name, test := range map[string]struct {
		document, want, err string
	}{
		"GitHub's API": {`[{"id": 1, "key": "` + goodKey + `"}]`, goodKey + "\n", ""},
		"lines":        {"# mine\n" + goodKey + " a\n" + goodKey + " b\n", goodKey + " a\n" + goodKey + " b\n", ""},
		"a page":       {"<!DOCTYPE html>\n<html>\n<body>\nssh-rsa AAAA\n</body>\n", "", "user ada: keys of " + shown + ": it is an HTML or XML page"},
		"one of two":   {"what is this\n" + goodKey + "\n", goodKey + "\n", `"what is this": want a line of authorized_keys`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.keys = map[string]string{url: test.document}
			_, err := m.apply(&cloudconfig.Config{Users: []cloudconfig.User{{Name: "ada", SSHImportURLs: []string{url}}}})
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if got := m.get("home/ada/.ssh/authorized_keys.d/coreos-cloudinit"); got != test.want && test.want != "" || strings.Contains(got, "<") || strings.Contains(got, "what") {
				t.Errorf("keys %q", got)
			}
		})
	}
}

// TestImportFails has a server of keys that does not answer at a later boot: the keys of the
// boot before count.
func TestImportFails(t *testing.T) {
	m := newMachine(t)
	m.keys = map[string]string{"https://a": goodKey + " imported\n"}
	user := cloudconfig.User{Name: "ada", SSHAuthorizedKeys: []string{goodKey + " own"}, SSHImportURLs: []string{"https://a"}}
	c := &cloudconfig.Config{Users: []cloudconfig.User{user}}
	if _, err := m.apply(c); err != nil {
		t.Fatal(err)
	}
	both := goodKey + " own\n" + goodKey + " imported\n"
	m.want("home/ada/.ssh/authorized_keys.d/coreos-cloudinit", both)
	m.fail = "fetch"
	for range 2 {
		if _, err := m.apply(c); err == nil {
			t.Error("no error")
		}
		m.want("home/ada/.ssh/authorized_keys.d/coreos-cloudinit", both)
	}
	m.fail, m.keys["https://a"] = "", goodKey+" other\n"
	if _, err := m.apply(c); err != nil {
		t.Fatal(err)
	}
	m.want("home/ada/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+" own\n"+goodKey+" other\n")
}

// TestImportFailsOnLink has a user who puts a link in the place of the keys, and wants to read
// where it leads.
func TestImportFailsOnLink(t *testing.T) {
	const keys = "home/core/.ssh/authorized_keys.d/coreos-cloudinit"
	m := newMachine(t)
	m.put("etc/shadow", "root:$6$secret:::::::\n")
	m.must(os.MkdirAll(filepath.Join(m.dir, filepath.Dir(keys)), 0o700))
	m.must(os.Symlink("/etc/shadow", filepath.Join(m.dir, keys)))
	m.coreOwns("home/core", "home/core/.ssh", filepath.Dir(keys), keys)
	m.fail = "fetch"
	user := cloudconfig.User{Name: "core", SSHAuthorizedKeys: []string{goodKey}, SSHImportURLs: []string{"https://a"}}
	if _, err := m.apply(&cloudconfig.Config{Users: []cloudconfig.User{user}}); err == nil {
		t.Error("no error")
	}
	m.want(keys, goodKey+"\n")
	m.want("etc/shadow", "root:$6$secret:::::::\n")
}
