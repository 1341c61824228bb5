package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// Kind says what a code block is for.
type Kind string

// The kinds, as marks name them.
const (
	Run      Kind = "run"        // commands, at a place: host, tree, machine, qemu, booted or a node
	File     Kind = "file"       // the content of a file, beside which commands run
	Config   Kind = "config"     // what these machines get at their first boot, and the file's name
	Synopsis Kind = "synopsis"   // forms of a command, which are compared with its help
	NotRun   Kind = "not run"    // commands that no test runs, with the reason
	Prints   Kind = "no command" // a picture, a protocol, what a program prints
)

// Where the commands of a block run. Any other place is a machine of the cluster that the page
// has configs for.
const (
	Host    = "host"    // the build host, in the page's directory, which has output/
	Root    = "root"    // the same, for root
	Tree    = "tree"    // the build host, at the top of the tree
	Machine = "machine" // a machine, on the host's kernel or in QEMU
	QEMU    = "qemu"    // the same machine, but only if it is in QEMU
	Booted  = "booted"  // the machine that a block with the option "boots" has started
)

// The options of a block that runs.
const (
	Repeated  = "repeated"  // until it prints what the page shows
	Unordered = "unordered" // the lines that it prints
	Restarts  = "restarts"  // the machine, at its end
	Boots     = "boots"     // a machine by its last command, which goes on; only in the soak suite
)

// Block is a code block with its mark, an HTML comment before it:
//
//	<!-- run: machine -->
//	<!-- not run: it needs an account of a cloud -->
//
// A comment of several lines is a block by itself, which the rendered page does not show: its
// first line is the mark.
type Block struct {
	Page    string
	Line    int // of the block in the page, from 1
	Kind    Kind
	Value   string   // the place, the file's name, the nodes or the reason
	Options []string // of Run; the file's name of Config
	Hidden  bool
	Lines   []string
}

// Has tells whether a block has an option.
func (b Block) Has(option string) bool { return slices.Contains(b.Options, option) }

func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

var commentLike = regexp.MustCompile(`(?s)^\s*<!--(.*)-->\s*$`)

// hiddenBlock returns the block that a comment of several lines is.
func hiddenBlock(path string, node *ast.HTMLBlock, source []byte) (b Block, is bool) {
	b = parseMark(comment(node, source))
	b.Page, b.Line, b.Hidden = path, lineOf(node, source)+1, true
	return b, len(b.Lines) > 0
}

// shownBlock returns a code block with its mark. The kind is "" where there is no mark.
func shownBlock(path string, node ast.Node, source []byte) Block {
	var b Block
	if before, ok := node.PreviousSibling().(*ast.HTMLBlock); ok {
		if mark := parseMark(comment(before, source)); len(mark.Lines) == 0 {
			b = mark
		}
	}
	b.Page, b.Line, b.Lines = path, lineOf(node, source), text(node, source)
	return b
}

// text returns the lines of a block.
func text(node ast.Node, source []byte) []string {
	var all []string
	for i := range node.Lines().Len() {
		segment := node.Lines().At(i)
		all = append(all, strings.TrimRight(string(segment.Value(source)), "\n"))
	}
	return all
}

// lineOf is the number of a block's first line.
func lineOf(node ast.Node, source []byte) int {
	if node.Lines().Len() == 0 {
		return 0
	}
	return strings.Count(string(source[:node.Lines().At(0).Start]), "\n") + 1
}

// comment is what an HTML comment has between its marks; "" for other HTML.
func comment(block *ast.HTMLBlock, source []byte) string {
	whole := strings.Join(text(block, source), "\n")
	if block.HasClosure() {
		whole += "\n" + string(block.ClosureLine.Value(source))
	}
	if m := commentLike.FindStringSubmatch(whole); m != nil {
		return m[1]
	}
	return ""
}

// parseMark reads a mark. The lines after the first are the block itself.
func parseMark(comment string) Block {
	first, rest, _ := strings.Cut(comment, "\n")
	kind, value, _ := strings.Cut(strings.TrimSpace(first), ":")
	b := Block{Kind: Kind(kind), Value: strings.TrimSpace(value)}
	if b.Kind == Run || b.Kind == Config {
		words := strings.Split(b.Value, ",")
		b.Value = words[0]
		for _, option := range words[1:] {
			b.Options = append(b.Options, strings.TrimSpace(option))
		}
	}
	if strings.TrimSpace(rest) != "" {
		b.Lines = strings.Split(strings.TrimRight(rest, "\n "), "\n")
	}
	return b
}

// wrongMark returns what is wrong with the mark of a block, "" if it is right.
func (b Block) wrongMark() string {
	switch b.Kind {
	case "":
		return "the block has no mark: write <!-- run: machine -->, or what else it is, before it"
	case Run:
		known := []string{Repeated, Unordered, Restarts, Boots}
		for _, option := range b.Options {
			if !slices.Contains(known, option) {
				return fmt.Sprintf("no option %q: want one of %v", option, known)
			}
		}
		if !placeLike.MatchString(b.Value) {
			return fmt.Sprintf("no place %q: want host, root, tree, machine, qemu, booted or a node of a config", b.Value)
		}
	case Config:
		if b.Value == "" || len(b.Options) > 1 {
			return fmt.Sprintf("want the machines, and one name of a file: %q", b.Value)
		}
	case File, NotRun, Prints:
		if b.Value == "" {
			return fmt.Sprintf("%q without its name or reason", b.Kind)
		}
	case Synopsis:
	default:
		return fmt.Sprintf("the mark %q is none", b.Kind)
	}
	return ""
}

var placeLike = regexp.MustCompile(`^(host|root|tree|machine|qemu|booted|[a-z]+[0-9])$`)
