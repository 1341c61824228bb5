package cloudconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder walks over YAML. What is wrong becomes a problem, and is left out.
type decoder struct {
	problems []Problem // the first maxProblems
	errors   int       // how many are not warnings
	nodes    int
}

// at is a place in the text: a value and the key that leads to it.
type at struct {
	key  string
	node *yaml.Node
}

// field takes the value of a key.
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

// resolve counts a value and follows aliases; false ends the walk, which has become too
// long.
func (d *decoder) resolve(node *yaml.Node) (*yaml.Node, bool) {
	d.nodes++
	for node.Kind == yaml.AliasNode && d.nodes <= maxNodes {
		d.nodes++
		node = node.Alias
	}
	return node, d.nodes <= maxNodes
}

// mapping hands the values of a mapping to their fields. Keys are written with "_" or
// with "-".
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

// eachKey calls take for each key of a mapping, those that are merged into it last.
func (d *decoder) eachKey(p at, take func(name string, value, key at)) {
	d.keys(p, map[string]bool{}, false, take)
}

// keys leaves out what was seen. inherited says that the mapping is merged into another,
// which then counts.
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

// merge takes the keys of "<<": a mapping, or a list of some.
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

// list hands over the values of a list. A single value is taken for a list of one, as
// people write it.
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

// text returns a scalar as it was written: numbers and booleans, too.
func (d *decoder) text(p at) (string, bool) {
	node, ok := d.resolve(p.node)
	if !ok {
		return "", false
	}
	if node.Kind != yaml.ScalarNode {
		d.problem(p, "%s: want a text; left out", describe(node))
		return "", false
	}
	if isNull(node) {
		return "", true
	}
	return node.Value, true
}

// into is the field that sets a text. check, if there is one, says what it should be.
func (d *decoder) into(to *string, check func(string) string) field {
	return func(p at) {
		text, ok := d.text(p)
		if !ok {
			return
		}
		if text != "" && check != nil {
			if want := check(text); want != "" {
				d.problem(p, "%.80q: want %s; left out", text, want)
				return
			}
		}
		*to = text
	}
}

// texts is the field that sets a list of texts.
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

// flag is the field that sets a boolean, as YAML 1.1 has them.
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

// describe says what a value is, for messages.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%.80q", node.Value)
}
