package architecture

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTestsAreRun checks that the Makefile runs the tests of each package below test.
func TestTestsAreRun(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "../Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	run := regexp.MustCompile(`\./test/([a-z0-9]+)`).FindAllStringSubmatch(string(makefile), -1)
	for _, p := range packages(t) {
		if groupOf(p.ImportPath) != "test" || len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		if !slices.ContainsFunc(run, func(m []string) bool { return m[1] == path.Base(p.ImportPath) }) {
			t.Errorf("no target of the Makefile runs the tests of %s", p.ImportPath)
		}
	}
}

// building is a call of go build. That puts the state of git into the program, and fails where
// git refuses the tree, because it belongs to another user.
var building = regexp.MustCompile(`"go",\s*"build",.*`)

// TestBuildsWithoutGit checks that each of them has the flag -buildvcs=false.
func TestBuildsWithoutGit(t *testing.T) {
	calls := 0
	for _, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range building.FindAllString(string(text), -1) {
				calls++
				if !strings.Contains(call, `"-buildvcs=false"`) {
					t.Errorf("%s/%s: %s", p.ImportPath, name, call)
				}
			}
		}
	}
	if calls == 0 {
		t.Error("no call of go build was found")
	}
}
