package unitmanager

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	godbus "github.com/godbus/dbus/v5"

	"coreos/internal/fleet/agent"
)

// TestOrigin has units with the properties that systemd gives them, of fleet and of others.
func TestOrigin(t *testing.T) {
	dir := t.TempDir()
	units, system := filepath.Join(dir, "units"), filepath.Join(dir, "system")
	for _, d := range []string{units, system} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ours, link, theirs := filepath.Join(units, "a.service"), filepath.Join(system, "a.service"), filepath.Join(system, "b.service")
	for _, file := range []string{ours, theirs} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(ours, link); err != nil {
		t.Fatal(err)
	}
	m := &Manager{units: units}
	for _, test := range []struct{ what, name, load, path, origin string }{
		{"nothing", "a.service", "not-found", "", ""},
		{"fleet's, by its link", "a.service", "loaded", link, ""},
		{"fleet's, by its file", "a.service", "loaded", ours, ""},
		{"fleet's, with a mistake", "a.service", "bad-setting", link, ""},
		{"the machine's", "b.service", "loaded", theirs, theirs},
		{"the machine's, with a mistake", "b.service", "bad-setting", theirs, theirs},
		{"an instance of the machine's template", "a@1.service", "loaded", system + "/a@.service", system + "/a@.service"},
		{"masked", "a.service", "masked", "/dev/null", "/dev/null"},
		{"a mount that somebody has made", "mnt.mount", "loaded", "", "systemd itself"},
		{"a device", "dev-sda.device", "loaded", "", ""},
	} {
		if origin := m.origin(test.name, test.load, test.path); origin != test.origin {
			t.Errorf("%s: %q, want %q", test.what, origin, test.origin)
		}
	}
}

func TestRefusal(t *testing.T) {
	for _, test := range []struct {
		name    string
		refused bool
	}{
		{"org.freedesktop.systemd1.BadUnitSetting", true},
		{"org.freedesktop.systemd1.NoSuchUnit", true},
		{"org.freedesktop.DBus.Error.NoReply", false},
	} {
		err := refusal(godbus.Error{Name: test.name, Body: []any{"Unit x.service has a bad unit file setting."}})
		if refused := (agent.Refused{}); errors.As(err, &refused) != test.refused {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestProblem has a unit that systemd has not started, and then has.
func TestProblem(t *testing.T) {
	m := &Manager{unmet: map[string]bool{}}
	for _, step := range []struct {
		unmet  bool
		active string
		want   bool
	}{{false, "inactive", false}, {true, "inactive", true}, {true, "active", false}, {false, "inactive", false}} {
		m.setUnmet("a.service", step.unmet)
		if problem := m.problem("a.service", step.active); (problem != "") != step.want {
			t.Errorf("%+v: %q", step, problem)
		}
		if step.active == "active" && m.problem("a.service", "inactive") != "" {
			t.Error("the problem outlives the unit's run")
		}
	}
}
