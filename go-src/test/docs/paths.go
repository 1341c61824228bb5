package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// roots are where a path may begin: the top of the tree, and in go-src.
var roots = []string{".", "go-src", "go-src/internal"}

var (
	pathLike = regexp.MustCompile(`^[A-Za-z0-9_.,@*{}-]+(/[A-Za-z0-9_.,@*{}\\-]+)+/?$`)
	// A word in capitals stands for any name: package/NAME.
	placeholder = regexp.MustCompile(`\b[A-Z][A-Z]+\b|\bN\b`)
)

// MissingPaths returns the paths in code spans that begin with a directory of the tree and
// lead to nothing.
func MissingPaths(top string, pages []Page) []string {
	var missing []string
	for _, page := range pages {
		for _, span := range page.Spans {
			if root := rootOf(top, span); root != "" && !exists(filepath.Join(top, root), span) {
				missing = append(missing, fmt.Sprintf("%s: `%s` is not in the tree", page.Path, span))
			}
		}
	}
	return missing
}

// rootOf returns the root that has the first directory of a path, "" if the text is no path
// of the tree.
func rootOf(top, span string) string {
	if !pathLike.MatchString(span) {
		return ""
	}
	first, _, _ := strings.Cut(span, "/")
	for _, root := range roots {
		if info, err := os.Stat(filepath.Join(top, root, first)); err == nil && info.IsDir() && first != "output" {
			return root
		}
	}
	return ""
}

// exists reports whether all files exist for which a path with braces, stars and
// placeholders stands; of a pattern at least one.
func exists(dir, span string) bool {
	for _, path := range braces(span) {
		found, err := filepath.Glob(filepath.Join(dir, placeholder.ReplaceAllString(path, "*")))
		if err != nil || len(found) == 0 {
			return false
		}
	}
	return true
}

// braces expands the first {a,b} of a path.
func braces(path string) []string {
	before, rest, open := strings.Cut(path, "{")
	inner, after, closed := strings.Cut(rest, "}")
	if !open || !closed {
		return []string{path}
	}
	var all []string
	for part := range strings.SplitSeq(inner, ",") {
		all = append(all, braces(before+part+after)...)
	}
	return all
}
