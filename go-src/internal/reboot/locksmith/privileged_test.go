package locksmith

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/reboot/hooks"
)

// login is a systemd-logind and an update-engine.
type login struct {
	needed          bool
	kexec, prepared bool
	prepareErr      error
	restarts        []bool // whether by kexec
}

func (l *login) RebootNeeded(context.Context) (bool, error) { return l.needed, nil }

func (l *login) PrepareReboot(context.Context) (bool, error) {
	l.prepared = true
	return l.kexec, l.prepareErr
}

func (l *login) Reboot(_ context.Context, kexec bool) error {
	l.restarts = append(l.restarts, kexec)
	return nil
}

func TestPrivilegedReboot(t *testing.T) {
	for _, kexec := range []bool{false, true} {
		l := &login{needed: true, kexec: kexec}
		if _, _, err := (Privileged{Updates: l, Login: l}).Actions()[actionReboot](t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if !l.prepared || len(l.restarts) != 1 || l.restarts[0] != kexec {
			t.Errorf("kexec %v: prepared %v, restarts %v", kexec, l.prepared, l.restarts)
		}
	}
	l := &login{needed: true, prepareErr: errors.New("update-engine does not answer")}
	if _, _, err := (Privileged{Updates: l, Login: l}).Actions()[actionReboot](t.Context(), nil); err == nil || len(l.restarts) > 0 {
		t.Errorf("error %v, restarts %v", err, l.restarts)
	}
	l = &login{}
	if _, _, err := (Privileged{Updates: l, Login: l}).Actions()[actionReboot](t.Context(), nil); !errors.Is(err, errNotNeeded) || l.prepared || len(l.restarts) > 0 {
		t.Errorf("without need: error %v, restarts %v", err, l.restarts)
	}
}

func TestPrivilegedHooks(t *testing.T) {
	dir := t.TempDir()
	seen := filepath.Join(t.TempDir(), "seen")
	if err := os.WriteFile(filepath.Join(dir, "10-shop"), []byte("#!/bin/sh\necho $1 >>"+seen+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := &login{needed: true}
	actions := Privileged{Updates: l, Hooks: hooks.Hooks{Dirs: []string{dir}, Launch: []string{"env"}}}.Actions()
	for _, test := range []struct{ action, argument, err string }{
		{actionDrain, `{"limit":60000000000}`, ""},
		{actionResume, `{"limit":60000000000}`, ""},
		{actionDrain, `{"limit":0}`, "want more than nothing"},
		{actionDrain, `{}`, "want more than nothing"},
		{actionDrain, `{"limit":"/bin/sh"}`, "the limit of hooks"},
		{actionDrain, ``, "the limit of hooks"},
	} {
		_, _, err := actions[test.action](t.Context(), json.RawMessage(test.argument))
		if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s %s: %v", test.action, test.argument, err)
		}
	}
	l.needed = false
	if _, _, err := actions[actionDrain](t.Context(), json.RawMessage(`{"limit":60000000000}`)); !errors.Is(err, errNotNeeded) {
		t.Errorf("without need: %v", err)
	}
	if text, _ := os.ReadFile(seen); string(text) != "reboot\ncancel\n" {
		t.Errorf("hooks ran with %q", text)
	}
}
