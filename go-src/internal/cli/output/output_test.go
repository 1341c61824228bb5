package output

import (
	"fmt"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	var b strings.Builder
	if err := JSON(&b, map[string]int{"a": 1}); err != nil || b.String() != "{\n  \"a\": 1\n}\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
	if err := JSON(&b, func() {}); err == nil {
		t.Error("a function was printed")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table := Table(&b)
	fmt.Fprint(table, "A\tNAME\nlong\tx\n")
	if err := table.Flush(); err != nil || b.String() != "A     NAME\nlong  x\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
