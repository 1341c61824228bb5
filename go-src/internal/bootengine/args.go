package bootengine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"coreos/internal/slot"
	"coreos/internal/verity"
)

// Args is what bootengine takes from the kernel command line.
type Args struct {
	Slot slot.Name   // coreos.slot=A, from GRUB
	Usr  verity.Root // usrhash=HEX and coreos.usrblocks=N, signed with the slot
}

// ParseArgs reads a kernel command line. What decides over the boot may be given
// only once, so that an argument added from outside cannot replace the slot's.
func ParseArgs(cmdline string) (Args, error) {
	values := map[string]string{}
	for arg := range strings.FieldsSeq(cmdline) {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "usrhash", "coreos.slot", "coreos.usrblocks":
			if _, twice := values[name]; twice {
				return Args{}, fmt.Errorf("%s is given twice", name)
			}
			values[name] = value
		}
	}
	name, err := slot.ParseName(values["coreos.slot"])
	if err != nil {
		return Args{}, fmt.Errorf("coreos.slot: %w", err)
	}
	if values["usrhash"] == "" {
		return Args{}, errors.New("usrhash is missing")
	}
	blocks, err := strconv.ParseUint(values["coreos.usrblocks"], 10, 64)
	if err != nil {
		return Args{}, fmt.Errorf("coreos.usrblocks: %w", err)
	}
	usr, err := verity.ParseRoot(values["usrhash"], blocks)
	if err != nil {
		return Args{}, err
	}
	return Args{Slot: name, Usr: usr}, nil
}
