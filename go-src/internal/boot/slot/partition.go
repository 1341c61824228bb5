package slot

import (
	"fmt"

	"coreos/internal/boot/grubenv"
	"coreos/internal/host/keyvalue"
)

// BootRecord is where bootengine leaves which slot and disk the system runs
// from: lines SLOT=A and DISK=vda.
const BootRecord = "/run/coreos/boot"

// OnPartition runs f on the environment block of the EFI system partition at path.
func OnPartition(path string, f func(Store) error) error {
	device, err := grubenv.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = device.Close() }()
	return f(device)
}

// Running returns the slot that the system runs from and its disk's name.
func Running() (Name, string, error) { return readRecord(BootRecord) }

func readRecord(path string) (Name, string, error) {
	values, err := keyvalue.Properties(path)
	if err != nil {
		return "", "", fmt.Errorf("which slot runs is not known (not booted by bootengine?): %w", err)
	}
	name, err := ParseName(values["SLOT"])
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return name, values["DISK"], nil
}
