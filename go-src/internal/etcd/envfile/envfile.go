// Package envfile reads and changes the environment file of etcd-member.service: lines
// NAME=value as systemd.exec(5) has them for EnvironmentFile=. What it does not change
// stays as it was written, comments and order included.
package envfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"coreos/internal/host/keyvalue"
)

// Path is the file of etcd-member.service.
const Path = "/etc/etcd/etcd.conf.env"

// maxSize bounds a file, in bytes.
const maxSize = 1 << 20

// File is an environment file in memory.
type File struct {
	path  string
	lines []string // one assignment or comment each; several lines of text if continued
}

// New is a file that is not there yet.
func New(path string) *File { return &File{path: path} }

// Read reads a file. One that is not there is empty.
func Read(path string) (*File, error) {
	f := New(path)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("etcd's settings: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("etcd's settings: %w", err)
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("etcd's settings: %s has more than %d bytes", path, maxSize)
	}
	f.lines = split(string(text))
	return f, nil
}

// split keeps a line together with those that a backslash joins to it. A comment has none.
func split(text string) (lines []string) {
	continued := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if continued {
			lines[len(lines)-1] += "\n" + line
		} else {
			lines = append(lines, line)
		}
		backslashes := len(line) - len(strings.TrimRight(line, `\`))
		continued = backslashes%2 == 1 && !isComment(lines[len(lines)-1])
	}
	return lines
}

func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#' || line[0] == ';'
}

// assignment is the name and the value of a line.
func assignment(line string) (name, value string, ok bool) {
	if isComment(line) {
		return "", "", false
	}
	name, value, ok = strings.Cut(line, "=")
	value = strings.TrimSpace(strings.ReplaceAll(value, "\\\n", ""))
	return strings.TrimSpace(name), keyvalue.Unquote(value), ok
}

// Get returns a variable's value, or "": the last line counts, as with systemd.
func (f *File) Get(name string) (value string) {
	for _, line := range f.lines {
		if n, v, ok := assignment(line); ok && n == name {
			value = v
		}
	}
	return value
}

// Set gives a variable a value, where its last line is, or at the end. The value must
// be one that needs no quotes.
func (f *File) Set(name, value string) error {
	if strings.ContainsAny(value, "\n\r\\\"'#; \t") {
		return fmt.Errorf("%s=%q: white space, quotes, backslashes, # and ; cannot be in it", name, value)
	}
	line, last := name+"="+value, -1
	for i, l := range f.lines {
		if n, _, ok := assignment(l); ok && n == name {
			last = i
		}
	}
	if last < 0 {
		f.lines = append(f.lines, line)
		return nil
	}
	f.lines[last] = line
	return nil
}

// Unset removes all variables whose names begin with a prefix.
func (f *File) Unset(prefix string) {
	f.lines = slices.DeleteFunc(f.lines, func(line string) bool {
		name, _, ok := assignment(line)
		return ok && strings.HasPrefix(name, prefix)
	})
}

// Comment returns what follows a prefix in the comment that begins with it, or "".
func (f *File) Comment(prefix string) string {
	for _, line := range f.lines {
		if text, ok := strings.CutPrefix(line, prefix); ok && isComment(line) {
			return text
		}
	}
	return ""
}

// SetComment makes prefix and text the only comment that begins with the prefix; "" for
// no such comment.
func (f *File) SetComment(prefix, text string) {
	f.lines = slices.DeleteFunc(f.lines, func(line string) bool { return strings.HasPrefix(line, prefix) })
	if text != "" {
		f.lines = append([]string{prefix + text}, f.lines...)
	}
}

// String is the file's text.
func (f *File) String() string {
	if len(f.lines) == 0 {
		return ""
	}
	return strings.Join(f.lines, "\n") + "\n"
}

// Write replaces the file as a whole, on the disk when it returns. Its mode stays; a new
// file has 0644, since keys are in files of their own.
func (f *File) Write() error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("etcd's settings: %w", err)
	}
	err := renameio.WriteFile(f.path, []byte(f.String()), 0o644, renameio.WithTempDir(dir), renameio.WithExistingPermissions())
	if err != nil {
		return fmt.Errorf("etcd's settings, %s: %w", f.path, err)
	}
	return syncDir(dir)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
