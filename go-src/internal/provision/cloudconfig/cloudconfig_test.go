package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b3"

func parse(t *testing.T, text string) (*Config, []string) {
	t.Helper()
	c, problems, err := Parse([]byte("#cloud-config\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return c, lines
}

// gzipped is content as people put it into write_files.
func gzipped(data []byte) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestParse(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	c, problems, err := Parse(bytes.ReplaceAll(text, []byte("PACKED"), []byte(gzipped([]byte("packed")))))
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	want := &Config{
		Hostname: "node-1.example.com", SSHAuthorizedKeys: []string{key + " one"}, ManageEtcHosts: "localhost",
		Users: []User{{
			Name: "ada", GECOS: "Ada L", PasswordHash: "$6$x$y", Homedir: "/home/ada", PrimaryGroup: "core", Shell: "/bin/bash",
			Groups: []string{"sudo", "docker"}, SSHAuthorizedKeys: []string{key + " two"},
			SSHImportURLs: []string{"https://keys.example.com/ada", "https://github.com/ada.keys"},
			NoCreateHome:  true, NoUserGroup: true, System: true, NoLogInit: true,
		}},
		WriteFiles: []File{
			{Path: "/etc/motd", Data: []byte("hello\n"), Owner: "root:core", Mode: 0o600},
			{Path: "/etc/one", Data: []byte("plain"), Mode: 0o644},
			{Path: "/etc/two", Data: []byte("packed"), Mode: 0o4755},
			{Path: "/etc/empty", Data: []byte{}, Mode: 0o644},
		},
		CoreOS: CoreOS{
			Etcd:      Settings{{"ETCD_NAME", "node1"}, {"ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:2379"}, {"ETCD_HEARTBEAT_INTERVAL", "250"}},
			Fleet:     Settings{{"FLEET_PUBLIC_IP", "10.0.0.1"}, {"FLEET_METADATA", "role=web,disk=ssd"}},
			Flannel:   Settings{{"FLANNELD_IFACE", "eth1"}, {"FLANNELD_ETCD_PREFIX", "/coreos.com/network2"}},
			Locksmith: Settings{{"LOCKSMITHD_GROUP", "web"}, {"REBOOT_WINDOW_START", "Thu 23:00"}, {"REBOOT_WINDOW_LENGTH", "1h30m"}},
			Update:    Settings{{"REBOOT_STRATEGY", "off"}, {"GROUP", "stable"}, {"SERVER", "https://update.example.com/v1/update/"}},
			OEM:       Settings{{"ID", "rack"}, {"NAME", "The Rack"}},
			Units: []Unit{
				{Name: "web.service", Content: "[Service]\nExecStart=/bin/true\n", Command: "start", Enable: true},
				{Name: "old.service", Mask: true},
				{Name: "50-eth.network", Runtime: true, Content: "[Match]\nName=eth0\n"},
				{Name: "docker.service", DropIns: []DropIn{{"10-proxy.conf", "[Service]\n"}}},
			},
		},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// A problem is reported with its position, and the rest of the config is used.
func TestProblems(t *testing.T) {
	const rest = "\nhostname: good\n"
	for name, test := range map[string]struct{ text, want string }{
		"unknown key":         {"hostnames: x", "line 2, column 1: error: hostnames: no such key; left out. Known are: coreos, hostname,"},
		"unknown nested key":  {"coreos:\n  unit: []", "line 3, column 3: error: coreos.unit: no such key"},
		"twice":               {"users: []\nusers: []", "line 3, column 1: error: users: it is there already"},
		"a list, not keys":    {"coreos: [a]", "line 2, column 9: error: coreos: a list: want keys with values"},
		"keys, not a list":    {"users: {name: a}", "warning: users: keys with values: want a list"},
		"keys, not a text":    {"users:\n- name: {a: b}", "line 3, column 9: error: users[0].name: keys with values: want a text"},
		"no name":             {"users:\n- gecos: x", "line 3, column 3: error: users[0]: the user has no name; left out"},
		"account":             {"users:\n- name: Ada:0", `error: users[0].name: "Ada:0": want a name of letters, digits, _, . and -, at most 32; the user is left out`},
		"account of digits":   {"users:\n- name: 1000", "want a name that is not a number"},
		"account of dots":     {"users:\n- name: ..", "want a name that is not a number"},
		"account with a dash": {"users:\n- name: -x", "users[0].name: "},
		"group":               {"users:\n- {name: a, groups: [../x]}", `users[0].groups[0]: "../x": want a name`},
		"groups in a text":    {"users:\n- {name: a, groups: 'docker, ../x'}", `users[0].groups: "../x": want a name`},
		"passwd":              {"users:\n- {name: a, passwd: 'x:0'}", "users[0].passwd"},
		"home":                {"users:\n- {name: a, homedir: ../x}", "users[0].homedir"},
		"key":                 {"ssh_authorized_keys: [x]", `ssh_authorized_keys[0]: "x": want a line of authorized_keys`},
		"key of two lines":    {"ssh_authorized_keys: [\"a b\\nc d\"]", "ssh_authorized_keys[0]"},
		"a page of keys":      {"ssh_authorized_keys: |\n  <html>\n  <p>no key", `ssh_authorized_keys: "<html>": want a line`},
		"key cut off":         {"ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1]", "warning: ssh_authorized_keys[0]: \"ssh-ed25519 AAAAC3NzaC1lZDI1\": sshd does not accept"},
		"import":              {"users:\n- {name: a, coreos_ssh_import_url: 'file:///etc/shadow'}", "coreos_ssh_import_url: "},
		"account elsewhere":   {"users:\n- {name: a, coreos_ssh_import_github: '../x'}", "want the name of an account"},
		"flag":                {"coreos:\n  units:\n  - {name: a.service, enable: maybe}", `coreos.units[0].enable: "maybe": want true or false`},
		"unit with a slash":   {"coreos:\n  units:\n  - name: ../a.service", "coreos.units[0].name: "},
		"unit without suffix": {"coreos:\n  units:\n  - name: web", `"web": want the name of a unit`},
		"command":             {"coreos:\n  units:\n  - {name: a.service, command: begin}", "want one of start, stop,"},
		"drop-in":             {"coreos:\n  units:\n  - {name: a.service, drop_ins: [{name: ../x.conf}]}", "coreos.units[0].drop_ins[0].name: "},
		"relative path":       {"write_files:\n- {path: etc/x}", "want an absolute path"},
		"dots":                {"write_files:\n- {path: /etc/../usr/x}", "want an absolute path"},
		"read-only":           {"write_files:\n- {path: /usr/bin/x}", "want a path outside of /usr"},
		"directory":           {"write_files:\n- {path: /etc/}", "want an absolute path"},
		"mode":                {"write_files:\n- {path: /etc/x, permissions: 888}", "write_files[0].permissions: "},
		"owner":               {"write_files:\n- {path: /etc/x, owner: '-R'}", "want user or user:group"},
		"encoding":            {"write_files:\n- {path: /etc/x, encoding: rot13}", "want one of base64"},
		"no base64":           {"write_files:\n- {path: /etc/x, encoding: b64, content: '*'}", "the file /etc/x is left out"},
		"no gzip":             {"write_files:\n- {path: /etc/x, encoding: gzip, content: abc}", "the file /etc/x is left out"},
		"a bomb":              {"write_files:\n- {path: /etc/x, encoding: gz+b64, content: " + gzipped(make([]byte, MaxFile+1)) + "}", "encoding gz+b64: too large: more than 16384 KiB"},
		"strategy":            {"coreos: {update: {reboot-strategy: never}}", "coreos.update.reboot-strategy: "},
		"window":              {"coreos: {locksmith: {window_start: '25:00'}}", "want a time"},
		"length":              {"coreos: {locksmith: {window_length: long}}", "want a duration"},
		"two lines":           {"coreos: {fleet: {metadata: \"a\\nb\"}}", "want a single line"},
		"gone":                {"coreos: {etcd: {addr: x}}", "coreos.etcd.addr: it is no longer there: use listen-client-urls"},
		"binary":              {"write_files:\n- {path: /etc/x, content: !!binary '*'}", "write_files[0].content: !!binary: illegal base64 data at input byte 0; the file is left out"},
		"hosts":               {"manage_etc_hosts: true", "want one of localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			c, problems := parse(t, test.text+rest)
			if all := strings.Join(problems, "\n"); !strings.Contains(all, test.want) {
				t.Errorf("problems:\n%s\nwant %s", all, test.want)
			}
			if c.Hostname != "good" || len(c.WriteFiles) > 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestLenient(t *testing.T) {
	c, problems := parse(t, strings.Join([]string{
		"a: &unit {enable: yes, runtime: off}",
		"coreos:",
		"  update: {reboot-strategy: off, group: 7}",
		"  units:",
		"  - {<<: *unit, name: a.service, runtime: on}",
		"  - *unit",
		"write_files:",
		"- {path: /etc/x, permissions: 0644, content: 1.50}",
		"hostname: ~",
	}, "\n"))
	want := Unit{Name: "a.service", Enable: true, Runtime: true}
	if len(c.CoreOS.Units) != 1 || !reflect.DeepEqual(c.CoreOS.Units[0], want) {
		t.Errorf("units %+v", c.CoreOS.Units)
	}
	if got := fmt.Sprint(c.CoreOS.Update); got != "[{REBOOT_STRATEGY off} {GROUP 7}]" {
		t.Error(got)
	}
	if len(c.WriteFiles) != 1 || c.WriteFiles[0].Mode != 0o644 || string(c.WriteFiles[0].Data) != "1.50" {
		t.Errorf("%+v", c.WriteFiles)
	}
	if len(problems) != 2 {
		t.Errorf("problems %q, want two: the key a, and a unit without a name", problems)
	}
}

func TestNotAConfig(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		laughs += fmt.Sprintf("a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i, i, i, i, i)
	}
	for name, text := range map[string]string{
		"empty":          "",
		"another header": "#cloud-configuration\n",
		"not YAML":       "#cloud-config\nhostname: [\n",
		"tabs":           "#cloud-config\nusers:\n\t- name: x\n",
		"not UTF-8":      "#cloud-config\nhostname: \xff\xfe\n",
		"10 MB":          "#cloud-config\n" + strings.Repeat("x: y\n", 2<<20),
		"deep":           "#cloud-config\nx: " + strings.Repeat("[", 100_000),
		"laughs":         "#cloud-config\nssh_authorized_keys: *a8\n" + laughs,
	} {
		t.Run(name, func(t *testing.T) {
			if c, _, err := Parse([]byte(text)); !errors.Is(err, ErrFormat) {
				t.Errorf("%.100v, error %v", c, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("#cloud-config\na: &a [*a]\n<<: [*a, {b: c}]\nusers: *a\n"))
	f.Add([]byte("#cloud-config\n? [a]\n: {b: !!binary x}\nwrite_files: [{path: /etc/x, encoding: gz, content: \"\\x1f\"}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems, err := Parse(text)
		if err != nil {
			return
		}
		for _, file := range c.WriteFiles {
			if isPath(file.Path) != "" {
				t.Errorf("path %q", file.Path)
			}
		}
		for _, unit := range c.CoreOS.Units {
			if strings.Contains(unit.Name, "/") {
				t.Errorf("unit %q", unit.Name)
			}
		}
		for _, p := range problems {
			if p.Line < 1 || strings.ContainsAny(p.Key, "\n") && p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
	})
}
