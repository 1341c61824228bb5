package daemon

import (
	"fmt"
	"testing"

	"coreos/test/fleettest"
)

func TestStopAll(t *testing.T) {
	systemd := fleettest.NewSystemd()
	for _, name := range []string{"a.service", "b.service"} {
		if err := systemd.Install(t.Context(), name, "[Service]\nExecStart=/bin/true\n"); err != nil {
			t.Fatal(err)
		}
		if err := systemd.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	said := map[string]bool{}
	say := func(format string, arguments ...any) { said[fmt.Sprintf(format, arguments...)] = true }
	systemd.Fails = func() (fails, done bool) { return true, false }
	if err := stopAll(t.Context(), systemd, say); err == nil || len(said) != 0 || systemd.Running() != 2 {
		t.Errorf("systemd is not well: %v, said %v, %d run", err, said, systemd.Running())
	}
	systemd.Fails = nil
	if err := stopAll(t.Context(), systemd, say); err != nil || len(said) != 2 || !said["Unit a.service has left"] {
		t.Errorf("%v, said %v", err, said)
	}
	if units, err := systemd.Units(t.Context()); err != nil || len(units) != 0 || systemd.Running() != 0 {
		t.Errorf("%v are left, %d run: %v", units, systemd.Running(), err)
	}
}
