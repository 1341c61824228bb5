package datasource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"coreos/internal/host/bounded"
)

// readFile returns the content of a file with at most most bytes. It may be a pipe; waiting
// for its writer ends with ctx. If there is no such file, the error is ErrAbsent.
func readFile(ctx context.Context, path string, most int) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, localError(err)
	}
	defer file.Close()
	return read(ctx, file, path, most)
}

// readIn is readFile for a name from outside, below a directory. Symbolic links do not lead
// out of it.
func readIn(ctx context.Context, root *os.Root, name string, most int) ([]byte, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, localError(err)
	}
	defer file.Close()
	return read(ctx, file, name, most)
}

// optionalIn is readIn that returns nothing if there is no such file.
func optionalIn(ctx context.Context, root *os.Root, name string, most int) ([]byte, error) {
	text, err := readIn(ctx, root, name, most)
	if errors.Is(err, ErrAbsent) {
		return nil, nil
	}
	return text, err
}

func read(ctx context.Context, file *os.File, path string, most int) ([]byte, error) {
	// Only pipes and devices have deadlines.
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	text, err := bounded.Read(reader{ctx, file}, int64(most))
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("read %s: %w", path, context.Cause(ctx))
	case errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("read %s: %w", path, err)
	case err != nil:
		return nil, localError(err)
	}
	return text, nil
}

// reader ends with ctx, since some files of /sys take long.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// localError makes the error permanent: a file that is missing or not readable stays so.
func localError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}
