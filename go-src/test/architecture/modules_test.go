package architecture

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
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
			name := path.Base(p.ImportPath)
			checkList(t, p.ImportPath, "0", tagsOf(t, name), filepath.Join("cmd", name, "modules.txt"))
		}
	}
	checkList(t, ignition, "1", tagsOf(t, "ignition"), "../package/ignition/modules.txt")
}

// tagsOf returns the tags that the Buildroot package of a command sets for it, separated by
// spaces.
func tagsOf(t *testing.T, command string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "../package/*/*.mk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no packages: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tags, builds := setTags.FindSubmatch(text), isBuilt.FindSubmatch(text)
		if tags != nil && builds != nil && string(builds[1]) == command {
			return string(tags[1])
		}
	}
	return ""
}

var (
	// setTags finds tags that do not depend on the configuration.
	setTags = regexp.MustCompile(`(?m)^[A-Z_]+_TAGS = ([a-z_ ]+)$`)
	// isBuilt finds the command that a package builds.
	isBuilt = regexp.MustCompile(`(?m)^[A-Z_]+_(?:BUILD_TARGETS = cmd/|BIN_NAME = )(\S+)$`)
)

// checkList compares the modules that a command links with those in a file below the
// module's directory.
func checkList(t *testing.T, command, cgo, tags, file string) {
	t.Helper()
	deps, err := goList(cgo, "-tags", tags, "-deps", command)
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
