// Package bootimage reads the content of a boot partition, BOOT-A or BOOT-B: a tar archive
// (POSIX ustar) on the raw partition, which both GRUB and tar(1) can read. Its members are
// vmlinuz, initramfs, slot.cfg, and slot.sums, which binds the three to each other. Each has a
// detached OpenPGP signature in a member of the same name with ".sig" added.
package bootimage

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Members of the archive.
const (
	Kernel    = "vmlinuz"
	Initramfs = "initramfs"
	Config    = "slot.cfg"
	Sums      = "slot.sums"
)

// maxConfig is the size limit of slot.cfg in bytes. The command line of an x86 kernel has
// at most 2,048.
const maxConfig = 8192

// maxMembers is the limit of members that are read, since the archive may be damaged.
const maxMembers = 32

// ErrEmpty says that the partition has no boot image.
var ErrEmpty = errors.New("no boot image")

// Info is the content of slot.cfg.
type Info struct {
	Version string // of the OS
	Cmdline string // kernel command line without what GRUB adds
	// Bound says that slot.sums has to be there, with the hashes of the three other files.
	// Releases from before it do not have it.
	Bound bool
}

// UsrHash returns the root hash of the slot's /usr, in hexadecimal.
func (i Info) UsrHash() string {
	for arg := range strings.FieldsSeq(i.Cmdline) {
		if hash, ok := strings.CutPrefix(arg, "usrhash="); ok {
			return hash
		}
	}
	return ""
}

// Walk calls f for each member of the archive. It ends early, without an error, if f
// returns fs.SkipAll.
func Walk(r io.Reader, f func(name string, size int64, content io.Reader) error) error {
	archive := tar.NewReader(r)
	for range maxMembers {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("boot image: %w", err)
		}
		if err := f(header.Name, header.Size, archive); errors.Is(err, fs.SkipAll) {
			break
		} else if err != nil {
			return fmt.Errorf("boot image: %s: %w", header.Name, err)
		}
	}
	return nil
}

// ReadInfo finds and reads slot.cfg in the archive. It does not check the signature: GRUB
// does that before it boots the slot.
func ReadInfo(r io.Reader) (info Info, err error) {
	found := false
	err = Walk(r, func(name string, size int64, content io.Reader) error {
		if name != Config {
			return nil
		}
		found = true
		if info, err = ReadConfig(content, size); err != nil {
			return err
		}
		return fs.SkipAll
	})
	if err == nil && !found {
		err = ErrEmpty
	}
	return info, err
}

// ReadConfig reads a slot.cfg of size bytes.
func ReadConfig(r io.Reader, size int64) (Info, error) {
	if size > maxConfig {
		return Info{}, fmt.Errorf("%d bytes are too many", size)
	}
	text, err := io.ReadAll(io.LimitReader(r, size))
	if err != nil {
		return Info{}, err
	}
	return parseConfig(string(text))
}

// parseConfig reads the lines `set name="value"` of slot.cfg. A backslash precedes each
// dollar sign in a value.
func parseConfig(text string) (Info, error) {
	var info Info
	for line := range strings.Lines(text) {
		assignment, ok := strings.CutPrefix(strings.TrimSpace(line), "set ")
		if !ok {
			continue
		}
		name, value, _ := strings.Cut(assignment, "=")
		value = strings.ReplaceAll(strings.Trim(value, `"`), `\$`, "$")
		switch name {
		case "slot_version":
			info.Version = value
		case "slot_cmdline":
			info.Cmdline = value
		case "slot_sums":
			info.Bound = value == "1"
		}
	}
	if info.Version == "" || info.Cmdline == "" {
		return Info{}, errors.New("slot_version or slot_cmdline is missing")
	}
	return info, nil
}
