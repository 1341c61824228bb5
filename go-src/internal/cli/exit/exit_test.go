package exit

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestOf(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		print  bool
	}{
		"success":            {nil, 0, false},
		"failure":            {io.EOF, 1, true},
		"wrong command line": {Usage(io.EOF), 2, true},
		"formatted":          {Usagef("no %q", "x"), 2, true},
		"no mistake":         {Usage(nil), 0, false},
		"wrapped":            {fmt.Errorf("arguments: %w", Usage(io.EOF)), 2, true},
		"joined":             {errors.Join(io.EOF, Usage(io.EOF)), 2, true},
		"status":             {Status(3), 3, false},
		"status, wrapped":    {fmt.Errorf("check: %w", Status(3)), 3, false},
		"status 0":           {Status(0), 0, false},
	} {
		if status, print := Of(test.err); status != test.status || print != test.print {
			t.Errorf("%s: got %d, %t, want %d, %t", name, status, print, test.status, test.print)
		}
	}
}

func TestUsageKeepsTheCause(t *testing.T) {
	if err := Usage(fmt.Errorf("line 1: %w", io.EOF)); !errors.Is(err, io.EOF) || err.Error() != "line 1: EOF" {
		t.Errorf("got %v", err)
	}
}
