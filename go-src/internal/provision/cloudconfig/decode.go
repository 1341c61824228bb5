package cloudconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"coreos/internal/cli/redact"
	"coreos/internal/provision/packed"
)

// decoder decodes YAML. Values that are not valid become problems and are ignored.
type decoder struct {
	problems []Problem // the first maxProblems
	errors   int       // number of problems that are not warnings
	nodes    int
	groups   []wanted // of all accounts
	shells   []wanted
}

// wanted is the name of a group or a shell that an account has, and its position.
type wanted struct {
	at
	name string
}

// at is a position in the text: a value and its key.
type at struct {
	key  string
	node *yaml.Node
}

// field decodes the value of a key.
type field func(at)

func (d *decoder) problem(p at, format string, args ...any) {
	d.report(p, false, format, args...)
}

func (d *decoder) warn(p at, format string, args ...any) { d.report(p, true, format, args...) }

func (d *decoder) report(p at, warning bool, format string, args ...any) {
	if !warning {
		d.errors++
	}
	if len(d.problems) == maxProblems {
		return
	}
	d.problems = append(d.problems, Problem{p.node.Line, p.node.Column, p.key, fmt.Sprintf(format, args...), warning})
}

// document returns the value of the first document of a text, nil if it is empty. A second
// document is a problem.
func (d *decoder) document(text []byte) (*yaml.Node, error) {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := documents.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	err := documents.Decode(&second)
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, err
	case !isNull(second.Content[0]):
		d.problem(at{node: second.Content[0]}, "a second YAML document begins here, after the line ---; it is left out")
	}
	return first.Content[0], nil
}

// resolve counts a value and follows aliases. It returns false if there are too many
// values.
func (d *decoder) resolve(node *yaml.Node) (*yaml.Node, bool) {
	d.nodes++
	for node.Kind == yaml.AliasNode && d.nodes <= maxNodes {
		d.nodes++
		node = node.Alias
	}
	return node, d.nodes <= maxNodes
}

// mapping decodes the values of a mapping by its fields. Keys may have "_" or "-".
func (d *decoder) mapping(p at, fields map[string]field) {
	d.eachKey(p, func(name string, value, key at) {
		take, ok := fields[name]
		if !ok {
			d.problem(key, "no such key; left out. Known are: %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			return
		}
		take(value)
	})
}

// eachKey calls take for each key of a mapping; merged keys are last.
func (d *decoder) eachKey(p at, take func(name string, value, key at)) {
	d.keys(p, map[string]bool{}, false, take)
}

// keys calls take for the keys that are not in seen. inherited says that the mapping is
// merged into another one, whose keys have priority.
func (d *decoder) keys(p at, seen map[string]bool, inherited bool, take func(name string, value, key at)) {
	node, ok := d.resolve(p.node)
	if !ok || isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		d.problem(p, "%s: want keys with values; left out", describe(node))
		return
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name := strings.ReplaceAll(key.Value, "-", "_")
		path := strings.TrimPrefix(p.key+"."+key.Value, ".")
		if seen[name] {
			if !inherited {
				d.problem(at{path, key}, "it is there already; the first one counts")
			}
			continue
		}
		seen[name] = true
		take(name, at{path, value}, at{path, key})
	}
	for _, node := range merged {
		d.merge(at{p.key, node}, seen, take)
	}
}

// merge takes the keys of "<<", which is a mapping or a list of mappings.
func (d *decoder) merge(p at, seen map[string]bool, take func(name string, value, key at)) {
	node, ok := d.resolve(p.node)
	if !ok {
		return
	}
	parts := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		parts = node.Content
	}
	for _, part := range parts {
		d.keys(at{p.key, part}, seen, true, take)
	}
}

// list calls take for each value of a list. A single value counts as a list of one.
func (d *decoder) list(p at, take func(at)) {
	node, ok := d.resolve(p.node)
	switch {
	case !ok || isNull(node):
	case node.Kind == yaml.SequenceNode:
		for i, item := range node.Content {
			take(at{fmt.Sprintf("%s[%d]", p.key, i), item})
		}
	default:
		d.warn(p, "%s: want a list; taken for a list of one", describe(node))
		take(p)
	}
}

// text returns a scalar as it is written, also a number or a boolean.
func (d *decoder) text(p at) (string, bool) {
	node, ok := d.resolve(p.node)
	if !ok {
		return "", false
	}
	if node.Kind != yaml.ScalarNode {
		d.problem(p, "%s: want a text; left out", describe(node))
		return "", false
	}
	switch {
	case isNull(node):
		return "", true
	case node.ShortTag() == binaryTag:
		data, err := packed.Base64(node.Value)
		if err != nil {
			d.problem(p, "%s: %v; left out", binaryTag, err)
		}
		return string(data), err == nil
	}
	return node.Value, true
}

// binaryTag is the tag of a text that is written in base64 (https://yaml.org/type/binary.html).
const binaryTag = "!!binary"

// into returns a field that sets a text. check returns what it wants if the text is not
// valid; it may be nil.
func (d *decoder) into(to *string, check func(string) string) field {
	return func(p at) {
		text, ok := d.text(p)
		if !ok {
			return
		}
		if text != "" && check != nil {
			if want := check(text); want != "" {
				if strings.Contains(text, "://") {
					text = redact.URL(text)
				}
				d.problem(p, "%.80q: want %s; left out", text, want)
				return
			}
		}
		*to = text
	}
}

// texts returns a field that sets a list of texts.
func (d *decoder) texts(to *[]string, check func(string) string) field {
	return func(p at) {
		d.list(p, func(p at) {
			var text string
			if d.into(&text, check)(p); text != "" {
				*to = append(*to, text)
			}
		})
	}
}

// flag returns a field that sets a boolean of YAML 1.1.
func (d *decoder) flag(to *bool) field {
	return func(p at) {
		text, ok := d.text(p)
		if !ok {
			return
		}
		switch strings.ToLower(text) {
		case "true", "yes", "on", "y":
			*to = true
		case "false", "no", "off", "n", "":
			*to = false
		default:
			d.problem(p, "%.80q: want true or false; left out", text)
		}
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// describe describes a value in messages.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%.80q", node.Value)
}
