package program

import (
	"context"
	"io"
)

// input is the standard input of a command. A read of it ends with the context, as a read
// of a terminal or of a pipe does not.
type input struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader. If the context ends first, the read goes on in the background,
// and its data are lost.
func (i input) Read(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	done, own := make(chan result, 1), make([]byte, len(b))
	go func() {
		n, err := i.from.Read(own)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(b, own[:r.n]), r.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}
