// Package grubenv reads and writes GRUB's environment block, the only piece of
// boot state on a disk that is modified in place.
//
// The format is GRUB's (grub-editenv): 1,024 bytes, a signature line, then
// "name=value" lines in which "\" and newline are escaped with a backslash, then
// '#' up to the end. All variables are kept within the first 512-byte sector, so
// that a power cut during a write leaves either the old or the new state.
package grubenv

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Size is the size of an environment block in bytes.
const Size = 1024

// sector is what a disk writes atomically, in bytes.
const sector = 512

const signature = "# GRUB Environment Block\n"

// ErrFormat says that a block is not an environment block.
var ErrFormat = errors.New("not a GRUB environment block")

// ErrFull says that the variables do not fit into one sector.
var ErrFull = errors.New("GRUB environment exceeds one 512-byte sector")

// Env holds the variables of an environment block.
type Env map[string]string

// Parse reads an environment block of Size bytes.
func Parse(block []byte) (Env, error) {
	if len(block) != Size || !bytes.HasPrefix(block, []byte(signature)) {
		return nil, ErrFormat
	}
	env := Env{}
	var line strings.Builder
	escaped := false
	for _, c := range block[len(signature):] {
		switch {
		case escaped:
			line.WriteByte(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == '\n':
			text := line.String()
			line.Reset()
			if strings.HasPrefix(text, "#") {
				continue
			}
			if name, value, ok := strings.Cut(text, "="); ok && name != "" {
				env[name] = value
			}
		default:
			line.WriteByte(c)
		}
	}
	return env, nil
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", "\\\n")

// Format makes the environment block of e, its variables sorted by name.
// It returns ErrFull when they do not fit into one sector.
func (e Env) Format() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(signature)
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if name == "" || strings.ContainsAny(name, "=\\\n#") {
			return nil, fmt.Errorf("GRUB environment: bad variable name %q", name)
		}
		fmt.Fprintf(&b, "%s=%s\n", name, escaper.Replace(e[name]))
	}
	if b.Len() > sector {
		return nil, ErrFull
	}
	b.Write(bytes.Repeat([]byte{'#'}, Size-b.Len()))
	return b.Bytes(), nil
}
