package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"coreos/internal/cli/program/programtest"
	"coreos/internal/fleet/schema"
)

func TestCommandLine(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "fleet.conf")
	if err := os.WriteFile(bad, []byte("agent_ttl=soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	programtest.Check(t, command, []programtest.Call{
		{"-help", 0, "2 for a wrong command line", ""},
		{"-version", 0, "fleetd version " + schema.Version + "\n", ""},
		{"version", 0, "fleetd version " + schema.Version + "\n", ""},
		{"help guard", 0, "fleet-guard.service", ""},
		{"units", 2, "", `unexpected argument "units"`},
		{"leave now", 2, "", `unexpected argument "now": fleetd leave takes none`},
		{"-nonsense", 2, "", "unknown flag: --nonsense"},
		{"-config /none/x", 1, "", "fleetd: "},
		{"-config " + bad, 1, "", "fleetd: "},
	})
}
