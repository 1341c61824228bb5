package cloudconfig

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is something in a cloud-config that does not count, or will not soon.
type Problem struct {
	Line, Column int
	// Key is where it is, as in coreos.units[0].command.
	Key string
	// Message says what is wrong, what was expected, and what is done about it.
	Message string
	// Warning says that it counts nevertheless.
	Warning bool
}

// String is the problem as one line, without the file's name.
func (p Problem) String() string {
	kind := "error"
	if p.Warning {
		kind = "warning"
	}
	key := p.Key
	if key != "" {
		key += ": "
	}
	return fmt.Sprintf("line %d, column %d: %s: %s%s", p.Line, p.Column, kind, key, p.Message)
}

func (d *decoder) sorted() []Problem {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.problems
}
