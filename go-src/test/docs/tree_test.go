package docs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coreos/internal/update/release"
)

const (
	top   = "../../.."
	goSrc = "../.."
)

func pages(t *testing.T) []Page {
	t.Helper()
	all, err := ReadPages(top)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, problem := range problems {
		t.Error(problem)
	}
}

func TestTreeLinks(t *testing.T)   { report(t, DeadLinks(top, pages(t))) }
func TestTreeOrphans(t *testing.T) { report(t, Orphans(pages(t), Start)) }
func TestTreePaths(t *testing.T)   { report(t, MissingPaths(top, pages(t))) }

// Each code block says by its mark whether it is run, and where, or why it is not. With -v the test
// prints the table.
func TestTreeMarks(t *testing.T) {
	report(t, Unmarked(pages(t)))
	t.Log(Report(pages(t)))
}

// Each page of docs/ is reached from docs/README.md, too, without the way over README.md.
func TestTreeIndex(t *testing.T) {
	docs := slices.DeleteFunc(pages(t), func(p Page) bool { return !strings.HasPrefix(p.Path, "docs/") })
	report(t, Orphans(docs, "docs/README.md"))
}

func TestTreeCommands(t *testing.T) {
	programs, err := Build(t.Context(), goSrc, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	calls := Calls(pages(t), programs.Has)
	if len(calls) < 100 {
		t.Errorf("only %d calls of our commands were found in the pages", len(calls))
	}
	for _, call := range calls {
		if wrong := programs.Wrong(t.Context(), call); wrong != "" {
			t.Errorf("%s: %s: %s", call.Page, call.Line, wrong)
		}
	}
}

func TestTreeMake(t *testing.T) {
	output := t.TempDir()
	m, err := ReadMake(t.Context(), top, output)
	if err != nil {
		t.Fatal(err)
	}
	makefiles, err := Makefiles(top)
	if err != nil {
		t.Fatal(err)
	}
	report(t, m.Undescribed(makefiles))
	tests, err := RunNames(goSrc)
	if err != nil {
		t.Fatal(err)
	}
	calls := Calls(pages(t), func(name string) bool { return name == "make" })
	if len(m.targets) < 20 || len(calls) < 30 {
		t.Errorf("%d targets and %d calls of make were found", len(m.targets), len(calls))
	}
	for _, call := range calls {
		if wrong := m.Wrong(call, tests); wrong != "" {
			t.Errorf("%s: %s: %s", call.Page, call.Line, wrong)
		}
	}
}

// docs/testing.md names each black-box test, or a pattern that it matches.
func TestTreeTests(t *testing.T) {
	all := pages(t)
	i := slices.IndexFunc(all, func(p Page) bool { return p.Path == "docs/testing.md" })
	if i < 0 {
		t.Fatal("there is no docs/testing.md")
	}
	registered, err := registeredIn(goSrc + "/test/blackbox")
	if err != nil || len(registered) < 20 {
		t.Fatalf("%d tests are registered, %v", len(registered), err)
	}
	for _, name := range registered {
		if !slices.ContainsFunc(all[i].Spans, func(span string) bool {
			matches, err := filepath.Match(span, name)
			return matches && err == nil || span == name+"-*" // one for each seed
		}) {
			t.Errorf("docs/testing.md does not name the test `%s`: add a line to its table", name)
		}
	}
}

// docs/architecture.md names each package.
func TestTreePackages(t *testing.T) {
	all := pages(t)
	i := slices.IndexFunc(all, func(p Page) bool { return p.Path == "docs/architecture.md" })
	if i < 0 {
		t.Fatal("there is no docs/architecture.md")
	}
	packages, err := filepath.Glob(goSrc + "/internal/*/*")
	if err != nil || len(packages) < 60 {
		t.Fatalf("%d packages, %v", len(packages), err)
	}
	for _, dir := range packages {
		name := strings.TrimPrefix(dir, goSrc+"/internal/")
		if files, _ := filepath.Glob(dir + "/*.go"); len(files) > 0 && !slices.Contains(all[i].Spans, name) {
			t.Errorf("docs/architecture.md does not name the package `%s`: add a line to its table", name)
		}
	}
}

// The version that the tree builds has release notes which fit into its manifest.
func TestTreeReleaseNotes(t *testing.T) {
	version, err := os.ReadFile(top + "/VERSION")
	if err != nil {
		t.Fatal(err)
	}
	notes, err := os.ReadFile(top + "/docs/releases/" + strings.TrimSpace(string(version)) + ".md")
	if err != nil {
		t.Fatal(err)
	}
	if err := release.CheckNotes(string(notes)); err != nil {
		t.Error(err)
	}
}
