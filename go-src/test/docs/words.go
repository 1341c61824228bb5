package docs

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Call is a command as a page writes it.
type Call struct {
	Page string
	Line string
	Name string
	Args []string
}

// Calls returns the calls of commands with the names, in code blocks and code spans.
func Calls(pages []Page, names func(string) bool) []Call {
	var calls []Call
	for _, page := range pages {
		for _, line := range slices.Concat(page.Code, page.Spans) {
			for _, words := range segments(line) {
				words = command(words)
				if len(words) > 1 && names(words[0]) {
					calls = append(calls, Call{page.Path, strings.TrimSpace(line), words[0], words[1:]})
				}
			}
		}
	}
	return calls
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// command removes the words before the name of a command: a prompt, variables, sudo, a
// directory.
func command(words []string) []string {
	for len(words) > 0 && (words[0] == "#" || words[0] == "$" || words[0] == "sudo" || assignment.MatchString(words[0])) {
		words = words[1:]
	}
	// The Go command runs those of the tree from their sources.
	if len(words) > 2 && words[0] == "go" && words[1] == "run" {
		words = words[2:]
	}
	if len(words) == 0 {
		return nil
	}
	return append([]string{path.Base(words[0])}, words[1:]...)
}

// segments splits a line into commands, and these into words. It knows the shell syntax
// that pages use: quotes, separators of commands, comments.
func segments(line string) [][]string {
	var all [][]string
	var words []string
	var word strings.Builder
	var quote rune
	begun := false
	endWord := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	endSegment := func() {
		endWord()
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == '#' && !begun && len(words) > 0:
			endSegment()
			return all
		case r == ' ' || r == '\t':
			endWord()
		case r == ';' || r == '|' || r == '&' || r == '(' || r == ')':
			endSegment()
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	endSegment()
	return all
}
