package cloudconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"coreos/internal/provision/packed"
)

// Kind is the kind of user-data.
type Kind int

// The kinds.
const (
	Unknown Kind = iota
	Empty
	CloudConfig // begins with #cloud-config
	Script      // begins with #!
	Ignition    // JSON with a version of Ignition's
)

var kinds = map[Kind]string{Unknown: "unknown", Empty: "empty", CloudConfig: "cloud-config", Script: "script", Ignition: "ignition"}

func (k Kind) String() string { return kinds[k] }

const header = "#cloud-config"

// KindOf returns the kind of user-data, which its beginning shows.
func KindOf(text []byte) Kind {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return Empty
	case firstLine(text) == header:
		return CloudConfig
	case bytes.HasPrefix(text, []byte("#!")):
		return Script
	case isIgnition(text):
		return Ignition
	}
	return Unknown
}

func firstLine(text []byte) string {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimRight(first, " \t\r"))
}

// HasWindowsLines reports whether a script has line ends of Windows (CRLF): the kernel would take
// the CR for a part of the interpreter's name.
func HasWindowsLines(script []byte) bool {
	first, _, _ := bytes.Cut(script, []byte("\n"))
	return bytes.HasPrefix(first, []byte("#!")) && bytes.HasSuffix(first, []byte("\r"))
}

// IsButane reports whether a text is a config of Butane.
func IsButane(text []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte(utf8Mark))) {
		if bytes.HasPrefix(line, []byte("variant:")) {
			return true
		}
	}
	return false
}

func isIgnition(text []byte) bool {
	var c struct {
		Ignition struct{ Version string }
	}
	return json.Unmarshal(text, &c) == nil && c.Ignition.Version != ""
}

// Byte order marks of Unicode.
const (
	utf8Mark   = "\xef\xbb\xbf"
	utf16Mark  = "\xff\xfe"
	utf16Mark2 = "\xfe\xff"
)

// foreign are the beginnings of texts that other systems accept.
var foreign = []struct{ begin, what string }{
	{"content-type:", "it is a MIME archive of cloud-init, which this system does not read: use one cloud-config, script or Ignition config"},
	{"mime-version:", "it is a MIME archive of cloud-init, which this system does not read: use one cloud-config, script or Ignition config"},
	{"#include", "it is an #include of cloud-init, which this system does not read: put the text itself here"},
	{"#cloud-boothook", "it is a #cloud-boothook of cloud-init, which this system does not read: use a script, whose first line is #!/bin/sh"},
	{"<", "it is an HTML or XML page"},
}

// WhyUnknown says why user-data is of no kind, and what to do.
func WhyUnknown(text []byte) string {
	switch why := Mistake(text); {
	case why != "":
		return why
	case IsButane(text):
		return "line 1: it is a Butane config: translate it with configctl translate"
	}
	return fmt.Sprintf("line 1: %.80q: want #cloud-config, a script (#!) or an Ignition config (JSON)", firstLine(bytes.TrimSpace(text)))
}

// Mistake returns what is wrong at the beginning of user-data that is of no kind, "" if nothing
// common.
func Mistake(text []byte) string {
	body := bytes.TrimSpace(text)
	first := firstLine(body)
	switch {
	case bytes.HasPrefix(text, []byte(utf8Mark)):
		return "line 1: the text begins with a byte order mark (BOM, EF BB BF): save it as UTF-8 without BOM"
	case bytes.HasPrefix(text, []byte(utf16Mark)), bytes.HasPrefix(text, []byte(utf16Mark2)):
		return "line 1: the text is UTF-16: save it as UTF-8 without a byte order mark (BOM)"
	case packed.IsGzip(text):
		return "line 1: the text is packed by gzip more than once: pack it once"
	case first == header, strings.HasPrefix(first, "#!"):
		return fmt.Sprintf("line 1: there are blank lines or spaces before %.80q: begin with it", first)
	case strings.EqualFold(strings.Join(strings.Fields(first), ""), header):
		return fmt.Sprintf("line 1: %.80q: want exactly %s", first, header)
	case bytes.HasPrefix(body, []byte("{")):
		return jsonProblem(text)
	}
	for _, each := range foreign {
		if strings.HasPrefix(strings.ToLower(first), each.begin) {
			return "line 1: " + each.what
		}
	}
	return ""
}

// jsonProblem says why JSON is no Ignition config.
func jsonProblem(text []byte) string {
	var c struct {
		Ignition *struct{ Version any }
	}
	err := json.Unmarshal(text, &c)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := text[:min(int(syntax.Offset), len(text))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
		return fmt.Sprintf("line %d, column %d: it is JSON that breaks off or is not valid here: %v", line, max(column, 1), syntax)
	}
	if c.Ignition == nil {
		return `line 1: it is JSON, but no Ignition config of spec 3: "ignition": {"version": "3.6.0"} is missing`
	}
	return fmt.Sprintf("line 1: it is JSON, but no Ignition config: its ignition.version is %v: want a text such as \"3.6.0\"", c.Ignition.Version)
}
