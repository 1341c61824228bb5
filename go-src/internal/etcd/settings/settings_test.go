package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/etcd/unit"
)

// files writes files into a directory and returns their paths.
func files(t *testing.T, texts ...string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		path := filepath.Join(dir, string(rune('a'+i))+".env")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// service is etcd-member.service on a machine whose cloud-config has coreos.etcd2, as docs/etcd.md
// shows it.
func service(files ...string) unit.Service {
	return unit.Service{Program: "/usr/bin/etcd", Files: files, Environment: []string{
		"ETCD_NAME=0123", "ETCD_DATA_DIR=/var/lib/etcd", "ETCD_NAME=node1",
		"ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.9.0.1:2380", "ETCD_DISCOVERY_SRV=example.com",
	}}
}

func TestPlaces(t *testing.T) {
	for what, test := range map[string]struct {
		own, other string
		change     func(*unit.Service)
		name, want string
	}{
		"the drop-in of cloud-config":        {name: "ETCD_INITIAL_ADVERTISE_PEER_URLS", want: "http://10.9.0.1:2380"},
		"a drop-in counts more":              {name: "ETCD_NAME", want: "node1"},
		"the file counts more":               {own: "ETCD_NAME=file\n", name: "ETCD_NAME", want: "file"},
		"an empty value counts":              {own: "ETCD_DISCOVERY_SRV=\n", name: "ETCD_DISCOVERY_SRV", want: ""},
		"another file after it":              {own: "ETCD_NAME=file\n", other: "ETCD_NAME='other'\n", name: "ETCD_NAME", want: "other"},
		"a flag":                             {own: "ETCD_NAME=file\n", change: func(s *unit.Service) { s.Args = []string{"--name=flag"} }, name: "ETCD_NAME", want: "flag"},
		"a flag with its value after it":     {change: func(s *unit.Service) { s.Args = []string{"-data-dir", "/srv", "--debug"} }, name: "ETCD_DATA_DIR", want: "/srv"},
		"a flag without a value":             {change: func(s *unit.Service) { s.Args = []string{"--client-cert-auth", "--name", "x"} }, name: "ETCD_CLIENT_CERT_AUTH", want: "true"},
		"UnsetEnvironment=":                  {own: "ETCD_NAME=file\n", change: func(s *unit.Service) { s.Unset = []string{"ETCD_NAME"} }, name: "ETCD_NAME", want: ""},
		"UnsetEnvironment= removes no flags": {change: func(s *unit.Service) { s.Unset, s.Args = []string{"ETCD_NAME"}, []string{"--name=x"} }, name: "ETCD_NAME", want: "x"},
		"nothing":                            {name: "ETCD_CERT_FILE", want: ""},
	} {
		paths := files(t, test.own, test.other)
		s := service(paths...)
		if test.change != nil {
			test.change(&s)
		}
		settings, err := FromService(s, paths[0])
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := settings.Get(test.name); got != test.want {
			t.Errorf("%s: %s=%q, want %q", what, test.name, got, test.want)
		}
	}
}

// TestPattern has EnvironmentFile= with a pattern, and one that does not exist.
func TestPattern(t *testing.T) {
	paths := files(t, "ETCD_NAME=a\n", "ETCD_NAME=b\n")
	s := service("/none/x", filepath.Join(filepath.Dir(paths[0]), "*.env"))
	settings, err := FromService(s, paths[0])
	if err != nil || settings.Get("ETCD_NAME") != "b" {
		t.Errorf("ETCD_NAME=%q, %v", settings.Get("ETCD_NAME"), err)
	}
}

func TestUnknown(t *testing.T) {
	own := files(t, "")[0]
	for what, change := range map[string]func(*unit.Service){
		"another program":    func(s *unit.Service) { s.Program, s.Args = "/usr/bin/docker", []string{"run", "etcd"} },
		"a file of etcd":     func(s *unit.Service) { s.Args = []string{"--config-file=/etc/etcd/etcd.yml"} },
		"that as a variable": func(s *unit.Service) { s.Environment = append(s.Environment, "ETCD_CONFIG_FILE=/x") },
		"PassEnvironment=":   func(s *unit.Service) { s.Pass = []string{"LANG", "ETCD_NAME"} },
	} {
		s := service(own)
		change(&s)
		if _, err := FromService(s, own); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCanSet(t *testing.T) {
	for what, test := range map[string]struct {
		change func(s *unit.Service, own, other string)
		want   string
	}{
		"the unit's defaults": {func(*unit.Service, string, string) {}, ""},
		"a later file":        {func(s *unit.Service, _, other string) { s.Files = append(s.Files, other) }, "sets ETCD_NAME"},
		"an earlier file":     {func(s *unit.Service, own, other string) { s.Files = []string{other, own} }, ""},
		"a flag":              {func(s *unit.Service, _, _ string) { s.Args = []string{"--discovery-srv", "x"} }, "ExecStart= of etcd-member.service sets ETCD_DISCOVERY_SRV"},
		"another flag":        {func(s *unit.Service, _, _ string) { s.Args = []string{"--snapshot-count=5"} }, ""},
		"a removed variable":  {func(s *unit.Service, _, _ string) { s.Unset = []string{"ETCD_NAME"} }, "removes ETCD_NAME"},
		"the file is not its": {func(s *unit.Service, _, _ string) { s.Files = nil }, "does not read"},
	} {
		paths := files(t, "", "ETCD_NAME=other\n")
		s := service(paths[0])
		test.change(&s, paths[0], paths[1])
		settings, err := FromService(s, paths[0])
		if err != nil {
			t.Fatal(err)
		}
		err = settings.CanSet("ETCD_NAME", "ETCD_DISCOVERY*")
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
}

// TestUnset takes variables of both places from etcd.
func TestUnset(t *testing.T) {
	own := files(t, "# kept\nETCD_DISCOVERY=https://discovery.example.com/1\nETCD_NAME=x\n")[0]
	settings, err := FromService(service(own), own)
	if err != nil {
		t.Fatal(err)
	}
	if err := settings.Unset("ETCD_DISCOVERY"); err != nil {
		t.Fatal(err)
	}
	if want := "# kept\nETCD_NAME=x\nETCD_DISCOVERY_SRV=\n"; settings.String() != want {
		t.Errorf("the file:\n%s", settings)
	}
	if value := settings.Get("ETCD_DISCOVERY_SRV"); value != "" {
		t.Errorf("ETCD_DISCOVERY_SRV=%q", value)
	}
}
