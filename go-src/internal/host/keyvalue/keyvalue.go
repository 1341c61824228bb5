// Package keyvalue reads files of lines NAME=value: those that people write, such as
// update.conf and fleet.conf, and those that programs write, such as the kernel's uevent
// files.
package keyvalue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"coreos/internal/host/bounded"
)

// MaxFile is the size limit of a file in bytes.
const MaxFile = 64 << 10

// Line is a line NAME=value of a file.
type Line struct {
	// Number is the number of the line, from 1.
	Number int
	// Name and Value are the raw text, with quotes and with white space around the "=".
	Name, Value string
}

// Read reads the lines of a file that people write. It ignores white space at both ends of
// a line, and skips lines that are empty or begin with one of the bytes in comments. If
// another line has no "=", Read returns an error together with the valid lines. If the file
// has more than MaxFile bytes, it returns only an error.
func Read(r io.Reader, comments string) (all []Line, err error) {
	text, err := limited(r)
	if err != nil {
		return nil, err
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.IndexByte(comments, line[0]) >= 0 {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		switch {
		case ok:
			all = append(all, Line{number, name, value})
		case err == nil:
			err = fmt.Errorf("line %d: %.80q is not NAME=value", number, line)
		}
	}
	return all, err
}

func limited(r io.Reader) (string, error) {
	text, err := bounded.Read(r, MaxFile)
	if errors.Is(err, bounded.ErrTooLarge) {
		err = fmt.Errorf("the file is %w", err)
	}
	return string(text), err
}

// Unquote removes the double or single quotes around a value.
func Unquote(value string) string {
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// Properties reads a file that a program writes. Every byte of a line is significant; lines
// without "=" are skipped. If a name occurs more than once, the last value counts.
func Properties(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := limited(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	properties := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			properties[name] = value
		}
	}
	return properties, nil
}
