package booted

import (
	"errors"
	"fmt"
	"os"

	"coreos/internal/boot/loader"
	"coreos/internal/host/disk"
)

// ErrUnproven says that the running slot is not proven.
var ErrUnproven = errors.New("the running slot is not proven: its loader might be as bad as the slot")

// Loader is the boot loader for a firmware on the boot disk.
type Loader struct {
	Firmware string
	Current  bool // it is that of the running release
}

// Loaders compares the boot loaders on the boot disk with those of the running release.
func (m *Machine) Loaders() (found []Loader, err error) {
	err = m.eachLoader(os.O_RDONLY, func(firmware string, images loader.Images, place loader.Place) error {
		current, err := place.Current(images)
		found = append(found, Loader{firmware, current})
		return err
	})
	return found, err
}

// UpdateLoaders installs the boot loaders of the running release, if its slot is proven. updated is called
// for each that was another one.
func (m *Machine) UpdateLoaders(updated func(firmware string)) error {
	states, err := m.States()
	if err != nil {
		return err
	}
	if !states.Slots[m.Running].OK {
		return ErrUnproven
	}
	return m.eachLoader(os.O_RDWR, func(firmware string, images loader.Images, place loader.Place) error {
		if current, err := place.Current(images); err != nil || current {
			return err
		}
		if err := place.Update(images); err != nil {
			return err
		}
		updated(firmware)
		return nil
	})
}

func (m *Machine) eachLoader(flag int, do func(firmware string, images loader.Images, place loader.Place) error) error {
	images, err := loader.Load(loader.Dir)
	if err != nil {
		return err
	}
	start, err := m.disk.PartitionStart(sysfs, disk.BIOSBootLabel)
	if err != nil {
		return err
	}
	whole, err := disk.OpenPartition("/dev/"+m.disk.Name, flag)
	if err != nil {
		return err
	}
	defer func() { _ = whole.Close() }()
	bios, err := m.OpenPartition(disk.BIOSBootLabel, flag)
	if err != nil {
		return err
	}
	defer func() { _ = bios.Close() }()
	efi, err := m.OpenPartition(disk.EFISystemLabel, flag)
	if err != nil {
		return err
	}
	defer func() { _ = efi.Close() }()
	if err := do("BIOS", images, loader.BIOS{Disk: whole, Partition: bios, First: uint64(start)}); err != nil {
		return fmt.Errorf("loader for BIOS: %w", err)
	}
	if err := do("UEFI", images, loader.UEFI{Partition: efi}); err != nil {
		return fmt.Errorf("loader for UEFI: %w", err)
	}
	return nil
}
