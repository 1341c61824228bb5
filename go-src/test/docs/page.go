// Package docs checks the documentation of the tree: README.md, HACKING.md, SECURITY.md and
// docs/. Links lead somewhere, each page can be reached, and everything that a page names
// exists: paths of the tree, commands with their flags, targets and variables of make,
// tests. Each code block has a mark, by which the black-box tests run it; see Block.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	goldtext "github.com/yuin/goldmark/text"
)

// Page is a page in Markdown.
type Page struct {
	Path    string // from the top of the tree: docs/disk.md
	Anchors []string
	Links   []string
	Spans   []string // code within text
	Blocks  []Block  // code blocks with their marks
	Code    []string // their lines; a line that ends with "\" has the next one in it
}

// Start is the page from which all others have to be reached.
const Start = "README.md"

// ReadPages reads the pages of the tree.
func ReadPages(top string) ([]Page, error) {
	names, err := filepath.Glob(filepath.Join(top, "*.md"))
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(filepath.Join(top, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var pages []Page
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		path, err := filepath.Rel(top, name)
		if err != nil {
			return nil, err
		}
		pages = append(pages, Parse(path, source))
	}
	if !slices.ContainsFunc(pages, func(p Page) bool { return p.Path == Start }) {
		return nil, fmt.Errorf("%s has no %s", top, Start)
	}
	return pages, nil
}

// Parse reads a page.
func Parse(path string, source []byte) Page {
	page := Page{Path: path}
	markdown := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	root := markdown.Parser().Parse(goldtext.NewReader(source))
	// The function returns no error, and so Walk returns none.
	_ = ast.Walk(root, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Heading:
			if id, ok := n.AttributeString("id"); ok {
				page.Anchors = append(page.Anchors, string(id.([]byte)))
			}
		case *ast.Link:
			page.Links = append(page.Links, string(n.Destination))
		case *ast.CodeSpan:
			page.Spans = append(page.Spans, spanText(n, source))
		case *ast.HTMLBlock:
			if block, is := hiddenBlock(path, n, source); is {
				page.Blocks = append(page.Blocks, block)
			}
		case *ast.CodeBlock, *ast.FencedCodeBlock:
			page.Blocks = append(page.Blocks, shownBlock(path, n, source))
		}
		return ast.WalkContinue, nil
	})
	for _, block := range page.Blocks {
		if !block.Hidden || block.Kind == Run {
			page.Code = append(page.Code, whole(block.Lines)...)
		}
	}
	return page
}

// spanText is the text of a code span, which may go over several lines.
func spanText(span *ast.CodeSpan, source []byte) string {
	var b strings.Builder
	for child := span.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			b.Write(t.Segment.Value(source))
		}
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}

// whole joins continued lines.
func whole(lines []string) []string {
	var all []string
	continued := false
	for _, line := range lines {
		next := strings.HasSuffix(line, `\`)
		line = strings.TrimSuffix(line, `\`)
		if continued {
			all[len(all)-1] += line
		} else {
			all = append(all, line)
		}
		continued = next
	}
	return all
}
