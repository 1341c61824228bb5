package cloudconfig

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is a part of a cloud-config that is ignored, or that will be ignored in the
// future.
type Problem struct {
	Line, Column int
	// Key is the path of the value, such as coreos.units[0].command.
	Key string
	// Message says what is wrong, what was expected, and what happens.
	Message string
	// Warning says that the value is used all the same.
	Warning bool
}

// String returns the problem in one line, without the name of the file.
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
