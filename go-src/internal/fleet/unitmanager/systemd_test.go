package unitmanager

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/host/treetest"
)

// manager runs the host's systemd as the manager of a user, in namespaces of its own, and returns a
// Manager that takes it for the machine's. own are units that the machine has.
func manager(t *testing.T, own map[string]string) (m *Manager, systemctl func(args ...string) string, dir string) {
	t.Helper()
	for _, program := range []string{"/lib/systemd/systemd", "/usr/bin/dbus-daemon", "/usr/bin/unshare"} {
		if _, err := os.Stat(program); err != nil || os.Geteuid() != 0 {
			t.Skip("needs root and ", program)
		}
	}
	if out, err := inNamespaces("true").CombinedOutput(); err != nil {
		t.Skipf("this host gives the test no namespaces: %v: %s", err, out)
	}
	base, err := os.MkdirTemp("", "systemd-") // short: it is in the address of a socket
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(base, "home/.config/systemd/user")
	treetest.Write(t, dir, own)
	run := filepath.Join(base, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), "XDG_RUNTIME_DIR="+run, "HOME="+filepath.Join(base, "home"), "DBUS_SESSION_BUS_ADDRESS=unix:path="+run+"/bus")
	daemon := inNamespaces("/lib/systemd/systemd --user")
	daemon.Env = environment
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait()
		_ = os.RemoveAll(base)
	})
	systemctl = func(args ...string) string {
		command := exec.Command("systemctl", append([]string{"--user"}, args...)...)
		command.Env = environment
		out, _ := command.CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	for deadline := time.Now().Add(30 * time.Second); systemctl("is-active", "dbus.socket") != "active"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("systemd does not start: ", systemctl("status"))
		}
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+run+"/bus")
	if m, err = New(t.Context(), filepath.Join(base, "units"), filepath.Join(base, "marks")); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range m.Changes() {
		}
	}()
	return m, systemctl, dir
}

// inNamespaces returns a command that runs where /run and the control groups are its own.
func inNamespaces(command string) *exec.Cmd {
	const mounts = "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec "
	return exec.Command("unshare", "--mount", "--cgroup", "--propagation", "private", "sh", "-c", mounts+command)
}

const sleeper = "[Service]\nExecStart=/bin/sleep 1000\n"

func TestNamesOfTheMachine(t *testing.T) {
	m, systemctl, dir := manager(t, map[string]string{"mine.service": sleeper, "mine@.service": sleeper})
	for name, want := range map[string]string{
		"mine.service": "mine.service", "mine@.service": "mine@.service", "mine@1.service": "mine@.service",
		"none.service": "", "none@.service": "", "none@1.service": "",
	} {
		where, err := m.Foreign(t.Context(), name)
		if err != nil || where != "" && filepath.Base(where) != want || (where == "") != (want == "") {
			t.Errorf("%s is from %q, %v; want %q", name, where, err, want)
		}
	}
	systemctl("start", "mine.service")
	if err := m.Install(t.Context(), "mine.service", sleeper); !errors.As(err, &agent.Refused{}) {
		t.Errorf("installed: %v", err)
	}
	if err := m.Start(t.Context(), "mine.service"); !errors.As(err, &agent.Refused{}) {
		t.Errorf("started: %v", err)
	}
	if err := errors.Join(m.Stop(t.Context(), "mine.service"), m.Remove(t.Context(), "mine.service")); err != nil {
		t.Error(err)
	}
	if is := systemctl("is-active", "mine.service"); is != "active" {
		t.Errorf("the machine's unit is %s", is)
	}
	if err := errors.Join(m.StopForeign(t.Context(), "mine.service"), m.StopForeign(t.Context(), "none.service")); err != nil {
		t.Error(err)
	}
	if is := systemctl("is-active", "mine.service"); is != "inactive" {
		t.Errorf("the machine's unit is %s after StopForeign", is)
	}

	// A unit that fleet has started stays fleet's to stop.
	if err := errors.Join(m.Install(t.Context(), "late.service", sleeper), m.Start(t.Context(), "late.service")); err != nil {
		t.Fatal(err)
	}
	if s, err := m.State(t.Context(), "late.service"); err != nil || s.Load != "loaded" || s.Problem != "" {
		t.Errorf("%+v, %v", s, err)
	}
	treetest.Write(t, dir, map[string]string{"late.service": sleeper})
	systemctl("daemon-reload")
	if s, err := m.State(t.Context(), "late.service"); err != nil || s.Problem == "" || s.Active != "failed" {
		t.Errorf("%+v, %v", s, err)
	}
	if err := m.Stop(t.Context(), "late.service"); err != nil {
		t.Error(err)
	}
	if is := systemctl("is-active", "late.service"); is != "inactive" {
		t.Errorf("fleet's unit is %s", is)
	}
}

func TestRefusedStarts(t *testing.T) {
	m, _, _ := manager(t, nil)
	for name, test := range map[string]struct{ text, reason string }{
		"good.service":     {sleeper, ""},
		"good@1.service":   {"[Service]\nExecStart=/bin/sleep %i000\n", ""},
		"mistyped.service": {"[Service]\nExecStat=/bin/sleep 1000\n", "bad unit file setting"},
		"unquoted.service": {"[Service]\nExecStart=/bin/sh -c 'sleep 1\n", "bad unit file setting"},
		"needy.service":    {"[Unit]\nRequires=none.service\n" + sleeper, "none.service not found"},
	} {
		if err := m.Install(t.Context(), name, test.text); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err := m.Start(t.Context(), name)
		if errors.As(err, &agent.Refused{}) != (test.reason != "") || err != nil && !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want %q", name, err, test.reason)
		}
		if err := errors.Join(m.Stop(t.Context(), name), m.Remove(t.Context(), name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s, err := m.State(t.Context(), name); err != nil || s.Load != "not-found" {
			t.Errorf("%s is left: %+v, %v", name, s, err)
		}
	}
}

// TestRequirementThatFails starts a unit that requires another one, which fails.
func TestRequirementThatFails(t *testing.T) {
	m, _, _ := manager(t, nil)
	for name, text := range map[string]string{
		"bad.service": "[Service]\nType=oneshot\nExecStart=/bin/false\n", "needy.service": "[Unit]\nRequires=bad.service\nAfter=bad.service\n" + sleeper,
	} {
		if err := m.Install(t.Context(), name, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Start(t.Context(), "needy.service"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := m.State(t.Context(), "needy.service")
		if err == nil && strings.Contains(s.Problem, "a unit that it requires did not start") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if err := m.Stop(t.Context(), "needy.service"); err != nil {
		t.Fatal(err)
	}
	if s, err := m.State(t.Context(), "needy.service"); err != nil || s.Problem != "" {
		t.Errorf("the problem outlives the wish: %+v, %v", s, err)
	}
}
