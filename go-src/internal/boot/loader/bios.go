package loader

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"coreos/internal/boot/fat"
)

const (
	sector       = 512
	bootCodeSize = 440        // before the table of partitions in the first sector
	half         = 1024 * 512 // bytes of BIOS-BOOT for each of two core images
	halfSectors  = half / 512 //
	coreAt       = 0x5c       // in the boot code: number of the core image's first sector
	secondAt     = 0x1f4      // in the core image: number of its second sector
	numberSize   = 8          // bytes of both
)

var le = binary.LittleEndian

// BIOS is the loader in the first sector of a disk and in BIOS-BOOT.
type BIOS struct {
	Disk      Device
	Partition Device // BIOS-BOOT
	First     uint64 // sector of the disk where it begins
}

// installed returns the first sector of the disk, and which half of BIOS-BOOT it points to.
func (b BIOS) installed() (first []byte, which int64, err error) {
	first = make([]byte, sector)
	if _, err := b.Disk.ReadAt(first, 0); err != nil {
		return nil, 0, err
	}
	switch at := le.Uint64(first[coreAt:]); at {
	case b.First:
		return first, 0, nil
	case b.First + halfSectors:
		return first, 1, nil
	default:
		return nil, 0, fmt.Errorf("the boot code of the disk is not GRUB's of this system: it points to sector %d, BIOS-BOOT begins at %d", at, b.First)
	}
}

// placed returns boot code and core image as they are for a half of BIOS-BOOT.
func (b BIOS) placed(images Images, which int64) (code, core []byte) {
	at := b.First + uint64(which)*halfSectors
	code, core = bytes.Clone(images.BootCode), bytes.Clone(images.Core)
	le.PutUint64(code[coreAt:], at)
	le.PutUint64(core[secondAt:], at+1)
	return code, core
}

// Current implements Place.
func (b BIOS) Current(images Images) (bool, error) {
	first, which, err := b.installed()
	if err != nil {
		return false, err
	}
	code, core := b.placed(images, which)
	got := make([]byte, len(core))
	if _, err := b.Partition.ReadAt(got, which*half); err != nil {
		return false, fmt.Errorf("BIOS-BOOT: %w", err)
	}
	return bytes.Equal(got, core) && bytes.Equal(first[:bootCodeSize], code), nil
}

// Update implements Place.
func (b BIOS) Update(images Images) error {
	first, which, err := b.installed()
	if err != nil {
		return err
	}
	other := 1 - which
	code, core := b.placed(images, other)
	padded := make([]byte, (len(core)+sector-1)/sector*sector)
	copy(padded, core)
	if err := fat.WriteBack(b.Partition, padded, other*half); err != nil {
		return fmt.Errorf("BIOS-BOOT: %w", err)
	}
	copy(first, code) // the rest of the sector is the table of partitions
	if err := fat.WriteBack(b.Disk, first, 0); err != nil {
		return fmt.Errorf("first sector of the disk: %w", err)
	}
	return nil
}
