// Package unitfile reads and writes fleet's unit files. These are systemd's, with a section
// [X-Fleet] that says on which machines a unit may run
// (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/unit-files-and-scheduling.md).
package unitfile

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// File is a unit file, as a list of its options.
type File struct {
	Options []*unit.UnitOption
}

// String returns the text of the file, without the comments and empty lines of the original.
func (f *File) String() string {
	text, err := io.ReadAll(unit.Serialize(f.Options))
	if err != nil { // reading from memory does not fail
		panic(err)
	}
	return string(text)
}

// Description returns Description= of [Unit]; "" if there is none.
func (f *File) Description() string {
	if all := f.values("Unit", "Description"); len(all) > 0 {
		return all[0]
	}
	return ""
}

// unfold joins the lines of a continued value, as systemd does.
func unfold(value string) string {
	return strings.Trim(strings.ReplaceAll(value, "\\\n", " "), white)
}

func (f *File) values(section, name string) []string {
	var all []string
	for _, option := range f.Options {
		if option.Section == section && option.Name == name {
			all = append(all, unfold(option.Value))
		}
	}
	return all
}

// Hash identifies the contents of a unit file. It is the SHA-1 of the text that String returns.
type Hash [sha1.Size]byte

// Hash returns the hash of the file.
func (f *File) Hash() Hash { return sha1.Sum([]byte(f.String())) }

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short returns the seven digits that fleetctl shows.
func (h Hash) Short() string { return h.String()[:7] }

// ParseHash reads a hash of 40 hexadecimal digits.
func ParseHash(text string) (Hash, error) {
	var h Hash
	if n, err := hex.Decode(h[:], []byte(text[:min(len(text), hex.EncodedLen(len(h)))])); err != nil || n != len(h) || len(text) != hex.EncodedLen(len(h)) {
		return Hash{}, fmt.Errorf("%.80q is not a unit's hash: want %d hexadecimal digits", text, hex.EncodedLen(len(h)))
	}
	return h, nil
}
