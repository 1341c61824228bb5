// Package loader replaces the boot loader, GRUB, on the boot disk by that of the running
// release, for both firmwares. A power cut at any moment leaves the old loader or the new
// one: each is written beside the other, read back, and then one sector switches.
//
// BIOS: BIOS-BOOT has room for two core images. The boot code, in the first sector of the
// disk, has the number of the sector where the core image begins.
// UEFI: the directory entry of EFI/BOOT/BOOTX64.EFI, on EFI-SYSTEM, has the cluster where
// the file begins.
package loader

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"coreos/internal/boot/fat"
)

// Dir is the directory of the running release's loaders.
const Dir = "/usr/lib/coreos/loader"

// Device is a disk or a partition. After Sync all that was written is on the medium, and
// reads come from there.
type Device = fat.Device

// Images are the loaders of a release, as the build makes them.
type Images struct {
	BootCode []byte // for the first sector of the disk
	Core     []byte // for BIOS-BOOT
	EFI      []byte // EFI/BOOT/BOOTX64.EFI
}

// Load reads the loaders in a directory.
func Load(dir string) (images Images, err error) {
	for name, data := range map[string]*[]byte{"boot.img": &images.BootCode, "core.img": &images.Core, "bootx64.efi": &images.EFI} {
		content, failed := os.ReadFile(filepath.Join(dir, name))
		*data = content
		err = errors.Join(err, failed)
	}
	if err != nil {
		return Images{}, fmt.Errorf("the loaders of this release: %w", err)
	}
	if len(images.BootCode) != bootCodeSize || len(images.Core) < 2*sector || len(images.Core) > half {
		return Images{}, fmt.Errorf("the loader for BIOS in %s has %d and %d bytes", dir, len(images.BootCode), len(images.Core))
	}
	return images, nil
}

// Place is where a loader is installed.
type Place interface {
	// Current reports whether it has the loader of those images.
	Current(Images) (bool, error)
	// Update installs it.
	Update(Images) error
}

// efiPath is EFI/BOOT/BOOTX64.EFI, which UEFI boots from a disk that it does not know.
var efiPath = []string{"EFI        ", "BOOT       ", "BOOTX64 EFI"}

// UEFI is the loader on an EFI system partition.
type UEFI struct{ Partition Device }

func (u UEFI) find() (*fat.Volume, fat.File, error) {
	volume, err := fat.Open(u.Partition)
	if err != nil {
		return nil, fat.File{}, err
	}
	file, err := volume.Find(efiPath...)
	return volume, file, err
}

// Current implements Place.
func (u UEFI) Current(images Images) (bool, error) {
	volume, file, err := u.find()
	if err != nil {
		return false, fmt.Errorf("EFI system partition: %w", err)
	}
	data, err := volume.Read(file)
	if err != nil {
		return false, fmt.Errorf("EFI/BOOT/BOOTX64.EFI: %w", err)
	}
	return bytes.Equal(data, images.EFI), nil
}

// Update implements Place.
func (u UEFI) Update(images Images) error {
	volume, file, err := u.find()
	if err == nil {
		err = volume.Replace(u.Partition, file, images.EFI)
	}
	if err != nil {
		return fmt.Errorf("EFI system partition: %w", err)
	}
	return nil
}
