// Package architecture holds the structure of go-src: which group of packages may import
// which, one comment for each package, and the modules that each command links.
// docs/architecture.md has the picture.
package architecture

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// mayImport has for each group below internal the other groups that its packages may
// import. Imports go one way: a change in a group can reach only the groups before it here.
var mayImport = map[string][]string{
	"reboot":    {"update", "etcd", "host", "cli", "build"},
	"update":    {"boot", "host", "cli", "build"},
	"boot":      {"provision", "host", "cli", "build"},
	"fleet":     {"etcd", "host", "cli", "build"},
	"provision": {"host", "cli", "build"},
	"etcd":      {"host", "cli", "build"},
	"host":      {},
	"cli":       {},
	"build":     {"cli"},
}

// groupOf returns the group of a package of ours: the directory below internal, "cmd" for a
// command, "test" for the black-box tests. It is empty for other modules' packages.
func groupOf(path string) string {
	parts := strings.Split(path, "/")
	switch {
	case parts[0] != "coreos" || len(parts) < 2:
		return ""
	case parts[1] == "internal" && len(parts) > 3:
		return parts[2]
	case parts[1] == "internal":
		return "internal" // a package that is in no group
	}
	return parts[1]
}

// testSupport tells whether a package is for tests only, such as boot/slot/grubtest.
func testSupport(path string) bool { return strings.HasSuffix(path, "test") || groupOf(path) == "test" }

// refuse returns why a package may not import another one, "" if it may.
func refuse(from, to string) string {
	a, b := groupOf(from), groupOf(to)
	switch allowed, known := mayImport[a]; {
	case b == "":
		return ""
	case b == "cmd":
		return "nothing imports a command"
	case testSupport(to) && !testSupport(from):
		return "only tests import what supports tests"
	case a == "cmd" || a == "test" || a == b && a != "internal":
		return ""
	case !known:
		return "the package is in no group: put it below internal/GROUP, see docs/architecture.md"
	case !slices.Contains(allowed, b):
		return a + " may import only " + strings.Join(allowed, ", ")
	}
	return ""
}

func TestRefuse(t *testing.T) {
	for _, test := range []struct {
		from, to string
		refused  bool
	}{
		{"coreos/internal/update/engine", "coreos/internal/boot/slot", false},
		{"coreos/internal/boot/slot", "coreos/internal/update/engine", true},
		{"coreos/internal/host/disk", "coreos/internal/cli/envflags", true},
		{"coreos/internal/stray", "coreos/internal/host/disk", true},
		{"coreos/internal/fleet/agent", "coreos/internal/fleet/store", false},
		{"coreos/internal/fleet/agent", "coreos/internal/fleet/api/apitest", true},
		{"coreos/internal/fleet/agent", "coreos/cmd/fleetd", true},
		{"coreos/cmd/fleetd", "coreos/internal/fleet/daemon", false},
		{"coreos/internal/host/disk", "golang.org/x/sys/unix", false},
	} {
		if reason := refuse(test.from, test.to); (reason != "") != test.refused {
			t.Errorf("%s imports %s: refused with %q, want refused %t", test.from, test.to, reason, test.refused)
		}
	}
}

func TestImportDirection(t *testing.T) {
	var edges, between int
	groups := map[string]bool{}
	for _, p := range packages(t) {
		groups[groupOf(p.ImportPath)] = true
		for _, to := range p.Imports {
			if reason := refuse(p.ImportPath, to); reason != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, to, reason)
			}
			if a, b := groupOf(p.ImportPath), groupOf(to); mayImport[a] != nil && b != "" {
				edges++
				if a != b {
					between++
				}
			}
		}
	}
	for group := range mayImport {
		if !groups[group] {
			t.Errorf("mayImport names %s, and there is no such group", group)
		}
	}
	t.Logf("%d imports among packages of %d groups, %d of them between groups", edges, len(mayImport), between)
}

// reaches reports whether packages of a group may import those of another group, directly
// or through others.
func reaches(from, to string) bool {
	return slices.ContainsFunc(mayImport[from], func(next string) bool { return next == to || reaches(next, to) })
}

// TestImportDirectionOfTests checks that tests import nothing from the groups above their
// own.
func TestImportDirectionOfTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			if above := groupOf(to); mayImport[above] != nil && reaches(above, groupOf(p.ImportPath)) {
				t.Errorf("a test of %s imports %s, which stands above it", p.ImportPath, to)
			}
		}
	}
}

func TestGroupsAreInOrder(t *testing.T) {
	seen := map[string]bool{}
	var visit func(group string, above []string)
	visit = func(group string, above []string) {
		if slices.Contains(above, group) {
			t.Fatalf("groups in a circle: %s", strings.Join(append(above, group), " -> "))
		}
		if seen[group] {
			return
		}
		for _, to := range mayImport[group] {
			visit(to, append(slices.Clone(above), group))
		}
		seen[group] = true
	}
	for _, group := range slices.Sorted(maps.Keys(mayImport)) {
		visit(group, nil)
	}
}
