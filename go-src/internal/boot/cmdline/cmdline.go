// Package cmdline reads the arguments on the kernel command line that describe the running
// slot. Those about /usr are signed with the slot; GRUB adds the name of the slot and the stamp
// of its disk.
package cmdline

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"coreos/internal/boot/slot"
	"coreos/internal/boot/verity"
)

// Args are the arguments that the system uses.
type Args struct {
	Slot  slot.Name   // coreos.slot=A, from GRUB
	Stamp string      // coreos.bootdisk=STAMP, from GRUB: the stamp of its disk, "" from a GRUB that has none
	Usr   verity.Root // usrhash=HEX and coreos.usrblocks=N, signed with the slot
}

// Parse reads a kernel command line.
func Parse(cmdline string) (Args, error) {
	values, err := arguments(cmdline, "usrhash", "coreos.slot", "coreos.usrblocks", "coreos.bootdisk")
	if err != nil {
		return Args{}, err
	}
	name, err := slot.ParseName(values["coreos.slot"])
	if err != nil {
		return Args{}, fmt.Errorf("coreos.slot: %w", err)
	}
	usr, err := Usr(cmdline)
	if err != nil {
		return Args{}, err
	}
	return Args{Slot: name, Stamp: values["coreos.bootdisk"], Usr: usr}, nil
}

// Usr reads the arguments about /usr from a slot's own command line, which lacks what GRUB
// adds.
func Usr(cmdline string) (verity.Root, error) {
	values, err := arguments(cmdline, "usrhash", "coreos.usrblocks")
	if err != nil {
		return verity.Root{}, err
	}
	if values["usrhash"] == "" {
		return verity.Root{}, errors.New("usrhash is missing")
	}
	blocks, err := strconv.ParseUint(values["coreos.usrblocks"], 10, 64)
	if err != nil {
		return verity.Root{}, fmt.Errorf("coreos.usrblocks: %w", err)
	}
	return verity.ParseRoot(values["usrhash"], blocks)
}

// arguments returns the values of the named arguments. Each may be given only once, so that
// an argument from outside cannot replace one of the slot.
func arguments(cmdline string, names ...string) (map[string]string, error) {
	values := map[string]string{}
	for arg := range strings.FieldsSeq(cmdline) {
		name, value, _ := strings.Cut(arg, "=")
		if !slices.Contains(names, name) {
			continue
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		values[name] = value
	}
	return values, nil
}
