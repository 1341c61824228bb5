package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"coreos/internal/host/treetest"
)

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinksAndPaths(t *testing.T) {
	dir := treetest.Dir(t, map[string]string{
		"README.md": "# Top\n[a](docs/a.md) [gone](docs/gone.md) [self](#top) [no](#bottom) [out](https://example.com/x#y)\n" +
			"`base/x.mk` `base/gone.mk` `base/*.mk` `base/{x,y}.mk` `base/NAME.mk` `output/images` `/etc/passwd` `go test`",
		"docs/a.md":                         "## Packet, Equinix Metal\n[up](../README.md) [same](a.md#packet-equinix-metal) [bad](../README.md#x) `boot/slot` `boot/gone`\n\n    make x \\\n      y\n    z\n",
		"docs/lonely.md":                    "[a](a.md)",
		"base/x.mk":                         "",
		"output/other":                      "",
		"go-src/README.md":                  "",
		"go-src/internal/boot/slot/slot.go": "",
	})
	pages, err := ReadPages(dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, DeadLinks(dir, pages), "README.md: link to docs/gone.md: there is no docs/gone.md", "README.md: link to #bottom: README.md has no heading for #bottom",
		"docs/a.md: link to ../README.md#x: README.md has no heading for #x")
	want(t, Orphans(pages, Start), "docs/lonely.md: no link leads to it from README.md")
	want(t, MissingPaths(dir, pages), "README.md: `base/gone.mk` is not in the tree", "README.md: `base/{x,y}.mk` is not in the tree",
		"docs/a.md: `boot/gone` is not in the tree")
	want(t, pages[1].Code, "make x   y", "z")
}

func TestCalls(t *testing.T) {
	page := Page{Path: "p", Spans: []string{"make lint", "make"}, Code: []string{
		"# make all  # comment", "A=b sudo /usr/bin/make -C 'a dir' run;make x|less && (cd y && make z)", "makes no", `make RUN="a b" smoke`, "go run ./cmd/make key", "  make: output",
	}}
	var got [][]string
	for _, call := range Calls([]Page{page}, func(name string) bool { return name == "make" }) {
		got = append(got, call.Args)
	}
	if want := [][]string{{"all"}, {"-C", "a dir", "run"}, {"x"}, {"z"}, {"RUN=a b", "smoke"}, {"key"}, {"lint"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// program is a command whose help is that of cobra.
const program = `#!/bin/sh
case $1 in
sub) printf 'Usage:\n  tool sub [flags]\n\nFlags:\n  -y, --yes   do it\n' ;;
hidden) echo 'Not listed.' ;;
*) printf 'Usage:\n  tool [command]\n\nAvailable Commands:\n  sub         Do it\n  other       Do other things\n\nFlags:\n      --json   print JSON\n' ;;
esac
`

func TestProgram(t *testing.T) {
	p := &Programs{treetest.Dir(t, map[string]string{"tool": program}), map[string]help{}}
	if err := os.Chmod(filepath.Join(p.dir, "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if !p.Has("tool") || p.Has("other") || p.Has("") || p.Has("bootengine") {
		t.Error("which programs there are is not known")
	}
	for line, want := range map[string]string{
		"tool --json":           "",
		"tool sub --yes X":      "",
		"tool sub [-y] --help":  "",
		"tool hidden":           "",
		"tool sub … --what":     "",
		"tool sub -- --what":    "",
		"tool --yes":            "tool has no flag --yes",
		"tool sub --json=1":     "tool sub has no flag --json=1",
		"tool gone":             "tool has no command gone",
		"tool --json; tool --x": "tool has no flag --x",
	} {
		got := ""
		for _, call := range Calls([]Page{{Code: []string{line}}}, p.Has) {
			got += p.Wrong(t.Context(), call)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

func TestMake(t *testing.T) {
	dir := treetest.Dir(t, map[string]string{
		"Makefile":    "A ?= 1\n## a variable\nB ?= 2\nall: run out.txt ; @true\n## run it, CONFIG=file\nrun:\nbare:\nbuildroot-x:\nhelp:\n\t@awk -f help.awk Makefile\nout.txt:\n",
		"base/one.mk": "C ?= 3\n",
	})
	awk, err := os.ReadFile(filepath.Join(top, "base/help.awk"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "help.awk"), awk, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := ReadMake(t.Context(), dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want(t, m.targets, "all", "bare", "help", "run")
	makefiles, err := Makefiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	const write = `: write its text in a line that begins with "## " above it`
	want(t, m.Undescribed(makefiles), "target all"+write, "target bare"+write, "target help"+write, "variable C"+write, "variable A"+write)
	tests := map[string][]string{"run": {"fault-usr", "boot"}}
	m.words["RUN"] = true
	for line, want := range map[string]string{
		"make run CONFIG=x":      "",
		"make run RUN=fault-":    "",
		"make run RUN=NAME":      "",
		"make -C dir run":        "",
		"make htop-rebuild":      "",
		"make run RUN=gone":      "make run has no test that matches RUN=gone",
		"make gone":              "make has no target gone",
		"make run UNKNOWN=value": "make help has no variable UNKNOWN",
	} {
		got := ""
		for _, call := range Calls([]Page{{Code: []string{line}}}, func(name string) bool { return name == "make" }) {
			got += m.Wrong(call, tests)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}
