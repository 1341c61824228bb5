// Package programtest runs commands in tests and compares what they print.
package programtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/cli/singledash"
)

// limit ends a command that hangs.
const limit = time.Minute

// Result is what a command did.
type Result struct {
	Status   int
	Out, Err string
}

// Run runs a command with arguments and an empty standard input.
func Run(t *testing.T, command *cobra.Command, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, err strings.Builder
	status := program.Run(ctx, command, args, program.Streams{In: strings.NewReader(""), Out: &out, Err: &err})
	return Result{status, out.String(), err.String()}
}

// Call is a command line, without words that have spaces, and what it has to do. It is an
// alias, so that tables need no names of fields.
type Call = struct {
	Args   string
	Status int
	Out    string // a part of the standard output, "" for none at all
	Err    string // a part of the standard error, "" for none at all
}

// Check runs commands one after the other, each made anew.
func Check(t *testing.T, command func() *cobra.Command, calls []Call) {
	t.Helper()
	for _, c := range calls {
		r := Run(t, command(), singledash.Args(strings.Fields(c.Args))...)
		if r.Status != c.Status || !contains(r.Out, c.Out) || !contains(r.Err, c.Err) {
			t.Errorf("%s: status %d, want %d\nout:  %s\nwant: %s\nerr:  %s\nwant: %s", c.Args, r.Status, c.Status, r.Out, c.Out, r.Err, c.Err)
		}
	}
}

func contains(text, part string) bool {
	if part == "" {
		return text == ""
	}
	return strings.Contains(text, part)
}
