package unitfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/unit"
)

// Bounds of a unit file in bytes. systemd takes longer lines; upstream's fleet does not.
const (
	maxFile = 512 << 10
	maxLine = 2048
)

// white is what systemd takes for white space.
const white = " \t\n\r"

// Parse reads the text of a unit file as systemd does (systemd.syntax(7)): a comment ends with its line
// and may be between continued lines, and lines end with LF, CR or both. It refuses lines that systemd
// would ignore with a warning.
//
// A continued value keeps its backslashes and line breaks, as in upstream's fleet, so that hashes are
// the same.
func Parse(text string) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("the unit file is larger than %d bytes", maxFile)
	}
	text = strings.TrimPrefix(text, "\ufeff")
	p := &parser{}
	for i, line := range strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("unit file: line %d: %w", i+1, err)
		}
	}
	p.end(strings.Trim(strings.TrimSuffix(p.value, "\\\n"), white))
	return &File{p.options}, nil
}

// parser reads the lines of a file.
type parser struct {
	options []*unit.UnitOption
	section string // "" before the first one
	// continued is set if the next line continues the value of the option name.
	continued   bool
	name, value string
}

func (p *parser) line(line string) error {
	text := strings.Trim(line, white)
	switch {
	case len(line) >= maxLine:
		return fmt.Errorf("it is too long: %d bytes are the most", maxLine-1)
	case !utf8.ValidString(line) || strings.ContainsRune(line, 0):
		return fmt.Errorf("it is not UTF-8 text: %.80q", line)
	case strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";"):
		return nil
	case p.continued && text == "":
		p.end(strings.Trim(p.value, white) + "\n")
		return nil
	case p.continued:
		return p.assign(line)
	case text == "":
		return nil
	case text[0] == '[':
		return p.begin(text)
	}
	name, value, ok := strings.Cut(line, "=")
	if p.name = strings.Trim(name, white); (!ok || p.name == "") && p.section != "" {
		return fmt.Errorf("it is no NAME=VALUE, no [SECTION] and no comment: %.80q", text)
	}
	return p.assign(value)
}

// begin begins a section.
func (p *parser) begin(text string) error {
	if !strings.HasSuffix(text, "]") || len(text) < 3 {
		return fmt.Errorf("it is no [SECTION]: %.80q", text)
	}
	p.section = text[1 : len(text)-1]
	return nil
}

// assign adds a line to the value of the current option, which ends unless the line is continued.
func (p *parser) assign(line string) error {
	p.value += line
	if p.continued = isContinued(line); p.continued {
		p.value += "\n"
		return nil
	}
	value := strings.Trim(p.value, white)
	if isContinued(value) {
		return fmt.Errorf("it ends with a backslash and white space: remove one of them: %.80q", line)
	}
	p.end(value)
	return nil
}

// isContinued reports whether a line ends with a backslash that no other one escapes.
func isContinued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// end ends the current option with a value. systemd ignores options before the first section.
func (p *parser) end(value string) {
	if p.name != "" && p.section != "" {
		p.options = append(p.options, unit.NewUnitOption(p.section, p.name, value))
	}
	p.name, p.value, p.continued = "", "", false
}
