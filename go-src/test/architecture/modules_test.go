package architecture

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of linked modules anew")

// ignition is a command of a module that we require. It is linked with cgo.
const ignition = "github.com/coreos/ignition/v2/internal"

// modulesOf returns the modules of packages, sorted, without ours.
func modulesOf(packages []goPackage) []string {
	modules := map[string]bool{}
	for _, p := range packages {
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = true
		}
	}
	return slices.Sorted(maps.Keys(modules))
}

// TestLinkedModules compares the modules of each command with the list that is committed
// beside it, so that whoever reviews a change sees a new dependency.
func TestLinkedModules(t *testing.T) {
	for _, p := range packages(t) {
		if groupOf(p.ImportPath) == "cmd" {
			checkList(t, p.ImportPath, "0", filepath.Join("cmd", path.Base(p.ImportPath), "modules.txt"))
		}
	}
	checkList(t, ignition, "1", "../package/ignition/modules.txt")
}

// checkList compares the modules that a command links with those in a file below the
// module's directory.
func checkList(t *testing.T, command, cgo, file string) {
	t.Helper()
	deps, err := goList(cgo, "-deps", command)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte(strings.Join(append(modulesOf(deps), ""), "\n"))
	if *update {
		if err := os.WriteFile(filepath.Join(root, file), want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	switch got, err := os.ReadFile(filepath.Join(root, file)); {
	case err != nil:
		t.Error(err)
	case !bytes.Equal(got, want):
		t.Errorf("%s does not list the modules that the command links:\n%srun: go test ./test/architecture -update", file, difference(got, want))
	}
}

// difference returns the lines that only one of two lists has.
func difference(committed, linked []byte) string {
	before, now := strings.Fields(string(committed)), strings.Fields(string(linked))
	var b strings.Builder
	for _, module := range before {
		if !slices.Contains(now, module) {
			b.WriteString("  no longer linked: " + module + "\n")
		}
	}
	for _, module := range now {
		if !slices.Contains(before, module) {
			b.WriteString("  new: " + module + "\n")
		}
	}
	return b.String()
}
