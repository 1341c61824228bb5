// Package cmdline reads what the kernel command line says of the slot that runs. The
// part about /usr is signed with the slot, the slot's name is added by GRUB.
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

// Args is what the system takes from the command line.
type Args struct {
	Slot slot.Name   // coreos.slot=A, from GRUB
	Usr  verity.Root // usrhash=HEX and coreos.usrblocks=N, signed with the slot
}

// Parse reads a kernel command line.
func Parse(cmdline string) (Args, error) {
	values, err := arguments(cmdline, "usrhash", "coreos.slot", "coreos.usrblocks")
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
	return Args{Slot: name, Usr: usr}, nil
}

// Usr reads what a slot's own command line, without GRUB's part, says of its /usr.
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

// arguments returns the values of the named arguments. What decides over the boot may
// be given only once, so that an argument added from outside cannot replace the slot's.
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
