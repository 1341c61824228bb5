package slot

import (
	"fmt"

	"coreos/internal/boot/grubenv"
	"coreos/internal/host/keyvalue"
)

// BootRecord is the file in which bootengine records the running slot and its disk, in
// lines SLOT=A and DISK=vda.
const BootRecord = "/run/coreos/boot"

// OnPartition calls f with the environment block of the EFI system partition at path.
func OnPartition(path string, f func(Store) error) error {
	device, err := grubenv.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = device.Close() }()
	return f(device)
}

// Running returns the running slot and the name of its disk.
func Running() (Name, string, error) { return readRecord(BootRecord) }

func readRecord(path string) (Name, string, error) {
	values, err := keyvalue.Properties(path)
	if err != nil {
		return "", "", fmt.Errorf("the running slot is not known (was this machine not booted by bootengine?): %w", err)
	}
	name, err := ParseName(values["SLOT"])
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return name, values["DISK"], nil
}
