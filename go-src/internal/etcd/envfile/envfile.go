// Package envfile reads and changes the environment file of etcd-member.service, in the
// format of EnvironmentFile= (systemd.exec(5)). Lines that are not changed stay as they
// are, with comments and order.
package envfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"coreos/internal/host/bounded"
	"coreos/internal/host/fsync"
	"coreos/internal/host/keyvalue"
)

// Path is the environment file of etcd-member.service.
const Path = "/etc/etcd/etcd.conf.env"

// maxSize is the size limit of a file in bytes.
const maxSize = 1 << 20

// File is an environment file in memory.
type File struct {
	path  string
	lines []string // one assignment or comment each; several lines of text if continued
}

// New returns an empty file.
func New(path string) *File { return &File{path: path} }

// Read reads a file. If it does not exist, Read returns an empty one.
func Read(path string) (*File, error) {
	f := New(path)
	text, err := bounded.ReadFile(path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("etcd's settings: %w", err)
	}
	f.lines = split(string(text))
	return f, nil
}

// Path returns the path of the file.
func (f *File) Path() string { return f.path }

// split returns the lines. A line that ends with a backslash is joined with the next;
// comments are not.
func split(text string) (lines []string) {
	continued := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if continued {
			lines[len(lines)-1] += "\n" + line
		} else {
			lines = append(lines, line)
		}
		text := strings.TrimSuffix(line, "\r")
		backslashes := len(text) - len(strings.TrimRight(text, `\`))
		continued = backslashes%2 == 1 && !isComment(lines[len(lines)-1])
	}
	return lines
}

func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#' || line[0] == ';'
}

// assignment returns the name and the value of a line.
func assignment(line string) (name, value string, ok bool) {
	if isComment(line) {
		return "", "", false
	}
	name, value, ok = strings.Cut(line, "=")
	value = strings.TrimSpace(strings.NewReplacer("\\\r\n", "", "\\\n", "").Replace(value))
	return strings.TrimSpace(name), keyvalue.Unquote(value), ok
}

// Get returns the value of a variable, or "".
func (f *File) Get(name string) string {
	value, _ := f.Lookup(name)
	return value
}

// Lookup returns the value of a variable, and whether the file sets it. The last line counts, as in
// systemd.
func (f *File) Lookup(name string) (value string, set bool) {
	for _, line := range f.lines {
		if n, v, ok := assignment(line); ok && n == name {
			value, set = v, true
		}
	}
	return value, set
}

// Names returns the names of all variables of the file.
func (f *File) Names() (names []string) {
	for _, line := range f.lines {
		if name, _, ok := assignment(line); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Set sets a variable: in its last line, or in a new line at the end. The value must not
// need quotes.
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

// Comment returns the rest of the comment that begins with a prefix, or "".
func (f *File) Comment(prefix string) string {
	for _, line := range f.lines {
		if text, ok := strings.CutPrefix(line, prefix); ok && isComment(line) {
			return text
		}
	}
	return ""
}

// SetComment replaces all comments that begin with a prefix by one, or by none if text is
// "".
func (f *File) SetComment(prefix, text string) {
	f.lines = slices.DeleteFunc(f.lines, func(line string) bool { return strings.HasPrefix(line, prefix) })
	if text != "" {
		f.lines = append([]string{prefix + text}, f.lines...)
	}
}

// String returns the text of the file.
func (f *File) String() string {
	if len(f.lines) == 0 {
		return ""
	}
	return strings.Join(f.lines, "\n") + "\n"
}

// Write replaces the file atomically and flushes it to the disk. It keeps the mode; a new
// file has 0644, since keys are in other files.
func (f *File) Write() error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("etcd's settings: %w", err)
	}
	err := renameio.WriteFile(f.path, []byte(f.String()), 0o644, renameio.WithTempDir(dir), renameio.WithExistingPermissions())
	if err != nil {
		return fmt.Errorf("etcd's settings, %s: %w", f.path, err)
	}
	return fsync.Path(dir)
}
