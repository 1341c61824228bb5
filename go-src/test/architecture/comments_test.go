package architecture

import (
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// comments returns the package comments in some files of a directory, by file name.
func comments(t *testing.T, dir string, files []string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" { // without directives such as go:build
			found[name] = file.Doc.Text()
		}
	}
	return found
}

// TestPackageComments checks that each package has one comment, which begins as go doc
// expects.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		files := p.GoFiles
		if len(files) == 0 {
			files = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		}
		want := "Package " + path.Base(p.ImportPath) + " "
		if p.Name == "main" {
			want = "Command " + path.Base(p.ImportPath) + " "
		}
		found := comments(t, p.Dir, files)
		if len(found) != 1 {
			t.Errorf("%s has %d package comments, want one", p.ImportPath, len(found))
		}
		for name, text := range found {
			if !strings.HasPrefix(text, want) {
				t.Errorf("%s/%s: the package comment begins %.40q, want %q", p.ImportPath, name, text, want)
			}
		}
	}
}
