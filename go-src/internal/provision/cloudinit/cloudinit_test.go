package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coreos/internal/host/treetest"
	"coreos/internal/provision/cloudconfig"
)

// machine is a system in a directory. Its systemd and its accounts record the calls.
type machine struct {
	*Applier
	t    *testing.T
	dir  string
	told []string
	fail string // what fails
	// keys are documents of keys by their URLs.
	keys map[string]string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	m := &machine{t: t, dir: t.TempDir()}
	m.Applier = &Applier{
		Root: tree(m.dir), Units: m, Accounts: m, KeyName: "coreos-cloudinit",
		SetHostname: func(name string) error { return m.tell("hostname " + name) },
		Fetch: func(_ context.Context, url string) ([]byte, error) {
			text, ok := m.keys[url]
			if !ok {
				text = "# of " + url + "\nssh-rsa FETCHED x\n"
			}
			return []byte(text), m.tell("fetch " + url)
		},
	}
	m.put("etc/passwd", "root:x:0:0::/root:/bin/sh\ncore:x:500:500::/home/core:/bin/bash\n")
	m.put("etc/group", "root:x:0:\ncore:x:500:\ndocker:x:233:\nsudo:x:27:core\n")
	m.put("etc/shadow", "core:*::::::\n")
	m.put("home/core/.profile", "")
	return m
}

func (m *machine) put(name, text string) {
	m.t.Helper()
	treetest.Write(m.t, m.dir, map[string]string{name: text})
}

func (m *machine) get(name string) string {
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (m *machine) tell(what string) error {
	if m.fail != "" && strings.Contains(what, m.fail) {
		return errors.New("as the test wishes")
	}
	m.told = append(m.told, what)
	return nil
}

func (m *machine) Reload(context.Context) error { return m.tell("reload") }

func (m *machine) Enable(_ context.Context, name string, _ bool) (bool, error) {
	done := slices.Contains(m.told, "enable "+name)
	return !done, m.tell("enable " + name)
}

func (m *machine) Do(_ context.Context, verb, name string) error { return m.tell(verb + " " + name) }

func (m *machine) RunScript(_ context.Context, name, path string) error {
	return m.tell("run " + name + " " + path)
}

// Run is shadow-utils: it does what later steps look at.
func (m *machine) Run(_ context.Context, input, name string, args ...string) error {
	if err := m.tell(strings.TrimSpace(name + " " + strings.Join(args, " ") + " " + input)); err != nil {
		return err
	}
	user := args[len(args)-1]
	if i := slices.Index(args, "--groups"); i >= 0 {
		m.put("etc/group", strings.Replace(m.get("etc/group"), args[i+1]+":x:233:", args[i+1]+":x:233:"+user+",", 1))
	}
	switch name {
	case "useradd":
		m.put("etc/passwd", m.get("etc/passwd")+user+":x:1000:1000::/home/"+user+":/bin/bash\n")
		m.put("home/"+user+"/.profile", "")
	case "chpasswd":
		user, hash, _ := strings.Cut(strings.TrimSpace(input), ":")
		m.put("etc/shadow", user+":"+hash+"::::::\n")
	}
	return nil
}

// apply applies a config and returns the calls of the system's programs.
func (m *machine) apply(c *cloudconfig.Config) ([]string, error) {
	m.told = nil
	_, err := m.Apply(context.Background(), c)
	return m.told, err
}

func (m *machine) want(name, want string) {
	m.t.Helper()
	if got := m.get(name); got != want {
		m.t.Errorf("%s has %q, want %q", name, got, want)
	}
}

func full() *cloudconfig.Config {
	return &cloudconfig.Config{
		Hostname: "node-1.example.com", ManageEtcHosts: "localhost", SSHAuthorizedKeys: []string{"ssh-ed25519 AAAA me"},
		Users: []cloudconfig.User{
			{Name: "ada", Groups: []string{"docker"}, PasswordHash: "$6$x", SSHAuthorizedKeys: []string{"ssh-rsa B b"}, SSHImportURLs: []string{"https://keys"}},
			{Name: "core", Groups: []string{"docker", "sudo"}},
		},
		WriteFiles: []cloudconfig.File{
			{Path: "/etc/motd", Data: []byte("hello"), Mode: 0o644},
			{Path: "/opt/bin/tool", Data: []byte("#!"), Mode: 0o4755, Owner: "core:docker"},
			{Path: "/opt/by-number", Mode: 0o600, Owner: "7:8"},
		},
		CoreOS: cloudconfig.CoreOS{
			Etcd:   cloudconfig.Settings{{Name: "ETCD_NAME", Value: `a "quoted" 100%`}},
			Update: cloudconfig.Settings{{Name: "GROUP", Value: "beta"}},
			OEM:    cloudconfig.Settings{{Name: "ID", Value: "rack"}},
			Units: []cloudconfig.Unit{
				{Name: "web.service", Content: "[Service]\n", Enable: true, Command: "start"},
				{Name: "old.service", Mask: true, Enable: true},
				{Name: "10-eth.network", Content: "[Match]\n", Runtime: true, Command: "start"},
				{Name: "docker.service", DropIns: []cloudconfig.DropIn{{Name: "10-x.conf", Content: "[Service]\n"}}},
			},
		},
	}
}

func TestApply(t *testing.T) {
	m := newMachine(t)
	m.put("etc/coreos/update.conf", "GROUP=old\nPIN=4\n")
	told, err := m.apply(full())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"hostname node-1.example.com", "useradd --shell /bin/bash --groups docker --create-home -- ada", "chpasswd --encrypted ada:$6$x", "fetch https://keys",
		"usermod --append --groups docker -- core", "reload", "enable web.service", "restart systemd-networkd.service",
		"try-restart update-engine.service", "try-restart locksmithd.service", "start web.service",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
	for name, text := range map[string]string{
		"etc/hostname": "node-1.example.com\n",
		"etc/hosts":    "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 node-1.example.com node-1\n",
		"home/core/.ssh/authorized_keys.d/coreos-cloudinit": "ssh-ed25519 AAAA me\n",
		"home/ada/.ssh/authorized_keys.d/coreos-cloudinit":  "ssh-rsa B b\nssh-rsa FETCHED x\n",
		"etc/motd":                                            "hello",
		"etc/coreos/update.conf":                              "PIN=4\nGROUP=beta\n",
		"etc/oem-release":                                     "ID=\"rack\"\n",
		"etc/systemd/system/web.service":                      "[Service]\n",
		"run/systemd/network/10-eth.network":                  "[Match]\n",
		"etc/systemd/system/docker.service.d/10-x.conf":       "[Service]\n",
		"run/systemd/system/etcd.service.d/20-cloudinit.conf": "[Service]\nEnvironment=\"ETCD_NAME=a \\\"quoted\\\" 100%%\"\n",
	} {
		m.want(name, text)
	}
	if target, err := os.Readlink(filepath.Join(m.dir, "etc/systemd/system/old.service")); target != "/dev/null" {
		t.Errorf("old.service: %q, %v", target, err)
	}
	tool, err := os.Stat(filepath.Join(m.dir, "opt/bin/tool"))
	if err != nil || tool.Mode() != goMode(0o4755) {
		t.Errorf("%v, %v", tool, err)
	}
}

// Applied again, a config changes nothing.
func TestApplyTwice(t *testing.T) {
	m := newMachine(t)
	if _, err := m.apply(full()); err != nil {
		t.Fatal(err)
	}
	first := m.told
	changes, err := m.Apply(context.Background(), full())
	if err != nil || len(changes) > 0 {
		t.Errorf("changes %q, %v", changes, err)
	}
	for _, again := range m.told[len(first):] {
		if word, _, _ := strings.Cut(again, " "); !slices.Contains([]string{"hostname", "fetch", "enable", "start"}, word) {
			t.Errorf("told again: %s", again)
		}
	}
}

// Where one thing fails the others are done.
func TestApplyFails(t *testing.T) {
	for _, fail := range []string{"hostname", "useradd", "usermod", "chpasswd", "fetch", "reload", "enable", "start web"} {
		t.Run(fail, func(t *testing.T) {
			m := newMachine(t)
			m.fail = fail
			if _, err := m.apply(full()); err == nil || !strings.Contains(err.Error(), "as the test wishes") {
				t.Errorf("error %v", err)
			}
			m.want("etc/motd", "hello")
			m.want("etc/systemd/system/web.service", "[Service]\n")
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	file := func(path, owner string) *cloudconfig.Config {
		return &cloudconfig.Config{WriteFiles: []cloudconfig.File{{Path: path, Owner: owner, Mode: 0o644}}}
	}
	for name, test := range map[string]struct {
		prepare func(*machine)
		config  *cloudconfig.Config
	}{
		"nobody's file":      {nil, file("/etc/x", "nobody-here")},
		"a group not there":  {nil, file("/etc/x", "core:nobody-here")},
		"below a file":       {nil, file("/etc/passwd/x", "")},
		"over a directory":   {nil, file("/home/core", "")},
		"keys of nobody":     {func(m *machine) { m.put("etc/passwd", "") }, &cloudconfig.Config{SSHAuthorizedKeys: []string{"ssh-rsa A"}}},
		"home is gone":       {func(m *machine) { m.must(os.RemoveAll(m.dir + "/home/core")) }, &cloudconfig.Config{SSHAuthorizedKeys: []string{"ssh-rsa A"}}},
		".ssh is a link":     {func(m *machine) { m.must(os.Symlink("/etc", m.dir+"/home/core/.ssh")) }, &cloudconfig.Config{SSHAuthorizedKeys: []string{"ssh-rsa A"}}},
		"hosts without name": {nil, &cloudconfig.Config{ManageEtcHosts: "localhost"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if test.prepare != nil {
				test.prepare(m)
			}
			if _, err := m.apply(test.config); err == nil {
				t.Error("no error")
			} else {
				t.Log(err)
			}
		})
	}
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// Symbolic links in the system lead nowhere else, and the last one is replaced.
func TestLinksStayInside(t *testing.T) {
	m := newMachine(t)
	outside := t.TempDir()
	m.must(os.Symlink(outside, m.dir+"/out"))
	m.must(os.Symlink("../../../../../../../../.."+outside, m.dir+"/dots"))
	m.must(os.Symlink(outside+"/target", m.dir+"/etc/last"))
	var c cloudconfig.Config
	for i, path := range []string{"/out/a", "/dots/b", "/etc/last"} {
		c.WriteFiles = append(c.WriteFiles, cloudconfig.File{Path: path, Data: fmt.Append(nil, i), Mode: 0o644})
	}
	if _, err := m.apply(&c); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	m.want("etc/last", "2")
	m.want(outside+"/a", "0")
}

func TestScript(t *testing.T) {
	m := newMachine(t)
	m.put("bin/sh", "")
	for range 2 {
		m.told = nil
		if err := m.Script(context.Background(), []byte("#!/bin/sh\n"), "/var/lib/coreos-cloudinit"); err != nil {
			t.Fatal(err)
		}
		if want := []string{"run coreos-cloudinit-script.service /var/lib/coreos-cloudinit/script"}; !slices.Equal(m.told, want) {
			t.Errorf("told %q", m.told)
		}
	}
	m.want("var/lib/coreos-cloudinit/script", "#!/bin/sh\n")
	if info, err := os.Stat(m.dir + "/var/lib/coreos-cloudinit/script"); err != nil || info.Mode() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
