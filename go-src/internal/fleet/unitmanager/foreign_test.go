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

// TestProblem has starts that end without the unit.
func TestProblem(t *testing.T) {
	m := &Manager{failed: map[string]string{}}
	for result, want := range map[string]string{
		"":                                 "",
		`the job's result is "dependency"`: "systemd has not started it, because a unit that it requires did not start",
		`the job's result is "timeout"`:    `systemd has not started it: the job's result is "timeout"`,
	} {
		m.setFailed("a.service", result)
		if got := m.problem("a.service"); got != want {
			t.Errorf("%s: %q", result, got)
		}
	}
}
