package makefile

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// run runs make on the tree and returns its output and whether it succeeds.
func run(t *testing.T, dir string, args ...string) (out string, ok bool) {
	t.Helper()
	command := exec.Command("make", append([]string{"--no-print-directory", "-f", filepath.Join(top(t), "Makefile")}, args...)...)
	command.Dir, command.Env = dir, environment()
	text, err := command.CombinedOutput()
	return string(text), err == nil
}

// environment is that of these tests without what a make that runs them hands on: its flags
// and the settings on its command line.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "SOURCE_DATE_EPOCH", "O"}, name)
	})
}

// TestRefusedPaths names output directories that make clean must not remove, and paths that
// make would take for two.
func TestRefusedPaths(t *testing.T) {
	tree, dir := top(t), t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Dir(tree), link); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"O=":                         "O= is not the path of a directory",
		"O=" + dir + "/a b":          "has a space",
		"O=/":                        "O=/ contains this tree",
		"O=" + tree:                  "contains this tree",
		"O=" + filepath.Dir(tree):    "contains this tree",
		"O=" + link:                  "contains this tree",
		"SIGNING_KEY_DIR=/my keys":   "SIGNING_KEY_DIR=/my keys: make cannot handle a path with a space",
		"COREOS_REPOSITORY=/my site": "COREOS_REPOSITORY=/my site: make cannot handle",
		"IMAGE=/my image.img":        "IMAGE=/my image.img: make cannot handle",
	} {
		if out, ok := run(t, dir, "-n", setting, "clean", "distclean"); ok || !strings.Contains(out, want) {
			t.Errorf("make %s: succeeds %t, says:\n%s", setting, ok, out)
		}
	}
	for _, output := range []string{filepath.Join(tree, "output"), tree + "-output"} {
		if out, ok := run(t, dir, "-n", "O="+output, "clean"); !ok {
			t.Errorf("make O=%s: %s", output, out)
		}
	}
}

// TestTreeWithSpace has the makefiles below a directory whose name has a space.
func TestTreeWithSpace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a tree")
	for _, name := range []string{"Makefile", "VERSION", "base"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(top(t), name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("make", "help")
	command.Dir, command.Env = dir, environment()
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "the path of this tree has a space") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestCleanThroughLink has the output directory on another disk.
func TestCleanThroughLink(t *testing.T) {
	dir := t.TempDir()
	data, link := filepath.Join(dir, "data"), filepath.Join(dir, "output")
	write(t, filepath.Join(data, "keys/boot.key"), "", 0o600)
	write(t, filepath.Join(data, "images/a.img"), "", 0o644)
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	if out, ok := run(t, dir, "O="+link, "clean"); !ok {
		t.Fatal(out)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 1 || left[0].Name() != "keys" {
		t.Errorf("make clean leaves %v, %v", left, err)
	}
	if out, ok := run(t, dir, "O="+link, "distclean"); !ok {
		t.Fatal(out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("make distclean leaves %v, %v", left, err)
	}
}
