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

// Parse reads an environment block of Size bytes as GRUB does (grub_envblk_iterate in
// grub-core/lib/envblk.c). A name is everything up to "=", so that a line without "=" also
// spoils the next line. Variables whose names are not valid are left out.
func Parse(block []byte) (Env, error) {
	if len(block) != Size || !bytes.HasPrefix(block, []byte(signature)) {
		return nil, ErrFormat
	}
	env := Env{}
	rest := block[len(signature):]
	for len(rest) > 0 {
		var name string // none: a comment
		if rest[0] != '#' {
			before, after, found := bytes.Cut(rest, []byte("="))
			if !found {
				break
			}
			name, rest = string(before), after
		}
		value, after, found := cutLine(rest)
		if !found {
			break
		}
		if validName(name) {
			env[name] = value
		}
		rest = after
	}
	return env, nil
}

// cutLine returns the text before the first newline that is not escaped, with
// escapes undone, and what follows that newline.
func cutLine(b []byte) (line string, after []byte, found bool) {
	var text []byte
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\n':
			return string(text), b[i+1:], true
		case b[i] == '\\' && i+1 < len(b):
			i++
		}
		text = append(text, b[i])
	}
	return "", nil, false
}

func validName(name string) bool {
	return name != "" && name[0] != '#' && !strings.ContainsAny(name, "=\\\n\x00")
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", "\\\n")

// Format makes the environment block of e, its variables sorted by name.
// It returns ErrFull when they do not fit into one sector.
func (e Env) Format() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(signature)
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if !validName(name) {
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
