// Package bounded reads data that come from outside the program, with a limit on their
// size: a wrong or hostile source must not fill the memory.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrTooLarge is in the chain of each error about data that have more bytes than allowed.
var ErrTooLarge = errors.New("too large")

// Read returns all that a reader has, or ErrTooLarge if that is more than most bytes. It
// reads at most one byte more than most.
func Read(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil {
		err = Check(data, most)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// ReadFile returns the content of a file, or ErrTooLarge if it has more than most bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := Read(file, most)
	if errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return data, err
}

// Check returns ErrTooLarge if data have more than most bytes.
func Check(data []byte, most int64) error {
	if int64(len(data)) > most {
		return fmt.Errorf("%w: more than %s", ErrTooLarge, size(most))
	}
	return nil
}

func size(bytes int64) string {
	if bytes%1024 != 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
