package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"coreos/internal/etcd/conn"
	"coreos/internal/host/keyvalue"
)

// read reads settings from the text of a file and from an environment.
func read(t *testing.T, text string, environment map[string]string) (Settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fleet.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(file, func(name string) (string, bool) { value, ok := environment[name]; return value, ok })
}

// usual returns the settings of an empty file.
func usual() Settings {
	return Settings{
		Etcd: conn.Config{Endpoints: []string{"http://127.0.0.1:2379"}}, KeyPrefix: "/_coreos.com/fleet/", Metadata: map[string]string{},
		TTL: 30 * time.Second, TokenLimit: 100, Directory: "/run/fleet/units/",
	}
}

func TestRead(t *testing.T) {
	two := []string{"http://192.0.2.1:2379", "http://192.0.2.2:2379"}
	for name, c := range map[string]struct {
		text        string
		environment map[string]string
		want        func(*Settings)
	}{
		"nothing":           {},
		"comments":          {text: "# one\n; two\n\n[fleet]\n  # three\n"},
		"quotes":            {text: "public_ip=\"192.0.2.1\"\netcd_username='root'\n", want: func(s *Settings) { s.PublicIP, s.Etcd.Username = "192.0.2.1", "root" }},
		"one quote":         {text: "etcd_password=\"", want: func(s *Settings) { s.Etcd.Password = `"` }},
		"spaces":            {text: "  public_ip =  192.0.2.1  \r\n", want: func(s *Settings) { s.PublicIP = "192.0.2.1" }},
		"an equals sign":    {text: "etcd_password=a=b", want: func(s *Settings) { s.Etcd.Password = "a=b" }},
		"upstream's list":   {text: `etcd_servers=["http://192.0.2.1:2379", "http://192.0.2.2:2379"]`, want: func(s *Settings) { s.Etcd.Endpoints = two }},
		"list with commas":  {text: `etcd_servers=http://192.0.2.1:2379, http://192.0.2.2:2379`, want: func(s *Settings) { s.Etcd.Endpoints = two }},
		"list in quotes":    {text: `etcd_servers="http://192.0.2.1:2379,http://192.0.2.2:2379"`, want: func(s *Settings) { s.Etcd.Endpoints = two }},
		"list of quotes":    {text: `etcd_servers="http://192.0.2.1:2379", "http://192.0.2.2:2379"`, want: func(s *Settings) { s.Etcd.Endpoints = two }},
		"metadata":          {text: `metadata="region=eu, disk = ssd,floppy"`, want: func(s *Settings) { s.Metadata = map[string]string{"region": "eu", "disk": "ssd"} }},
		"upstream's others": {text: "etcd_request_timeout=1.0\nengine_reconcile_interval=2\nenable_grpc=true\nverify_units=true\ndisable_watches=true\nauthorized_keys_file=~/.ssh/authorized_keys\nsystemd_user=false\n"},
		"numbers": {text: "agent_ttl=\"45s\"\nverbosity=2\ntoken_limit=7\nmax_units=9\ndisable_engine=true\n", want: func(s *Settings) {
			s.TTL, s.Verbosity, s.TokenLimit, s.MaxUnits, s.NeverLeads = 45*time.Second, 2, 7, 9, true
		}},
		"keep":       {text: "cut_off=keep", want: func(s *Settings) { s.KeepUnits = true }},
		"twice":      {text: "public_ip=192.0.2.1\npublic_ip=192.0.2.2", want: func(s *Settings) { s.PublicIP = "192.0.2.2" }},
		"writers":    {text: "api_writers=ann, bob,\n", want: func(s *Settings) { s.API.Writers = []string{"ann", "bob"} }},
		"writers, 2": {text: `api_writers=["ann", "bob"]`, want: func(s *Settings) { s.API.Writers = []string{"ann", "bob"} }},
		"no writers": {text: "api_writers=\n"},
		"environment": {text: "public_ip=192.0.2.1\nagent_ttl=20s\nagent_ttl=21s\n", environment: map[string]string{"FLEET_PUBLIC_IP": "192.0.2.9", "FLEET_AGENT_TTL": "15s", "FLEET_METADATA": "a=b"}, want: func(s *Settings) {
			s.PublicIP, s.TTL, s.Metadata = "192.0.2.9", 15*time.Second, map[string]string{"a": "b"}
		}},
		"empty environment": {text: "public_ip=192.0.2.1", environment: map[string]string{"FLEET_PUBLIC_IP": "", "FLEET_AGENT_TTL": ""}, want: func(s *Settings) { s.PublicIP = "192.0.2.1" }},
		"large":             {text: strings.Repeat("#\n", keyvalue.MaxFile/2), want: func(*Settings) {}},
	} {
		t.Run(name, func(t *testing.T) {
			want := usual()
			if c.want != nil {
				c.want(&want)
			}
			if is, err := read(t, c.text, c.environment); err != nil || fmt.Sprintf("%+v", is) != fmt.Sprintf("%+v", want) {
				t.Errorf("\n%+v, %v; want\n%+v", is, err, want)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"# one\nbogus=1":       `line 2: there is no setting "bogus"`,
		"public_ip":            `line 1: "public_ip" is not NAME=value`,
		"=x":                   `line 1: there is no setting ""`,
		"agent_ttl=30":         "line 1: invalid argument",
		"agent_ttl=2s":         "agent_ttl=2s: want 3s or more",
		"token_limit=0":        "token_limit=0",
		"token_limit=1001":     "token_limit=1001",
		"token_limit=x":        "line 1: invalid argument",
		"max_units=-1":         "max_units=-1",
		"cut_off=ask":          `cut_off="ask": want stop or keep`,
		"systemd_user=true":    "systemd_user is not supported",
		"systemd_user=1":       "systemd_user is not supported",
		"systemd_user=maybe":   "line 1: invalid argument",
		"disable_engine=maybe": "line 1: invalid argument",
		"api_certfile=/a":      "api_certfile and api_keyfile must be set together",
		"api_keyfile=/a":       "api_certfile and api_keyfile must be set together",
		"public_ip=" + strings.Repeat("1", keyvalue.MaxFile):         "too large",
		strings.Repeat("#\n", keyvalue.MaxFile/2) + "disable_engine": "too large",
	} {
		t.Run(fmt.Sprintf("%.30s", text), func(t *testing.T) {
			if is, err := read(t, text, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.200v, %.200v; want %q", is, err, want)
			}
		})
	}
	if _, err := read(t, "", map[string]string{"FLEET_AGENT_TTL": "soon"}); err == nil || !strings.Contains(err.Error(), "FLEET_AGENT_TTL") {
		t.Errorf("a variable that makes no sense: %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), os.LookupEnv); err == nil {
		t.Error("a file that was asked for and is not there is not missed")
	}
}

func FuzzReadFile(f *testing.F) {
	for _, seed := range []string{"public_ip=\"192.0.2.1\"\n", "[x]\n#y\n;z\nagent_ttl='30s'", "etcd_servers=[\"a\", 'b']", "metadata=a=b,c", "api_writers=\"a\",\"", "=", "\x00=\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var first, second Settings
		flags, again := first.flags(), second.flags()
		err := readFile(strings.NewReader(text), flags)
		if e := readFile(strings.NewReader(text), again); (e == nil) != (err == nil) {
			t.Fatalf("%v, then %v", err, e)
		}
		if err != nil || first.finish(flags) != nil {
			return
		}
		if err := second.finish(again); err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v, then %+v, %v", first, second, err)
		}
		for _, one := range append(first.Etcd.Endpoints, first.API.Writers...) {
			if one == "" || strings.TrimSpace(one) != one {
				t.Errorf("%q in a list", one)
			}
		}
		if first.TTL < minTTL || first.MaxUnits < 0 {
			t.Errorf("%+v", first)
		}
	})
}
