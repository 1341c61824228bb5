package architecture

import (
	"slices"
	"strings"
	"testing"
)

// fleetOrder has the packages of fleet from the bottom to the top. Each may import only packages
// before it: records do not depend on their readers, and nothing depends on the daemon or the
// command.
var fleetOrder = []string{
	"schema", "unitfile", "store", "scheduler", "placement", // the words, the records, the decisions
	"registry", "leader", "membership", "agent", // what a machine does with them
	"unitmanager", "guard", // systemd
	"api", "client", "sshclient", // the ways in
	"daemon", "cli",
}

func TestFleetImportDirection(t *testing.T) {
	const prefix = "coreos/internal/fleet/"
	found := map[string]bool{}
	for _, p := range packages(t) {
		from, ours := strings.CutPrefix(p.ImportPath, prefix)
		if !ours || testSupport(p.ImportPath) {
			continue
		}
		found[from] = true
		place := slices.Index(fleetOrder, from)
		if place < 0 {
			t.Errorf("fleetOrder does not name %s: add it where its imports allow", from)
			continue
		}
		for _, path := range p.Imports {
			if to, ours := strings.CutPrefix(path, prefix); ours && slices.Index(fleetOrder, to) >= place {
				t.Errorf("fleet/%s imports fleet/%s, which stands above it in fleetOrder", from, to)
			}
		}
	}
	for _, name := range fleetOrder {
		if !found[name] {
			t.Errorf("fleetOrder names %s, and there is no such package", name)
		}
	}
}
