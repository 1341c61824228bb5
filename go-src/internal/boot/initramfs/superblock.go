package initramfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// superblock is the superblock of an ext4 file system
// (Documentation/filesystems/ext4/super.rst of Linux).
type superblock [1024]byte

func readSuperblock(device io.ReaderAt) (*superblock, error) {
	const start, magic = 1024, 0xef53
	s := &superblock{}
	if _, err := device.ReadAt(s[:], start); err != nil {
		return nil, fmt.Errorf("read the superblock: %w", err)
	}
	if s.u16(0x38) != magic || s.logBlockSize() > 16 {
		return nil, errors.New("not an ext4 file system")
	}
	return s, nil
}

func (s *superblock) u16(at int) uint16 { return binary.LittleEndian.Uint16(s[at:]) }
func (s *superblock) u32(at int) uint32 { return binary.LittleEndian.Uint32(s[at:]) }

// logBlockSize returns the binary logarithm of the block size.
func (s *superblock) logBlockSize() uint64 { return 10 + uint64(s.u32(0x18)) }

func (s *superblock) blocks() uint64 {
	const has64Bit = 0x80
	blocks := uint64(s.u32(0x4))
	if s.incompatible()&has64Bit != 0 {
		blocks |= uint64(s.u32(0x150)) << 32
	}
	return blocks
}

func (s *superblock) incompatible() uint32 { return s.u32(0x60) }

// inOrder reports whether e2fsck -p would find nothing to do: the file system was unmounted
// cleanly, no error was ever found in it, and no check is due by time or by number of
// mounts.
func (s *superblock) inOrder() bool {
	const (
		clean                         = 1                // state
		recover                       = 0x4              // incompatible: the journal has changes that are not in place yet
		orphansPresent, checksummed   = 1 << 16, 1 << 10 // compatible for readers
		atMaxMounts, atState, atEvery = 0x36, 0x3a, 0x44
		atReadOnly, atLastOrphan      = 0x64, 0xe8
		atErrors, atChecksum          = 0x194, 0x3fc
	)
	if int16(s.u16(atMaxMounts)) > 0 || s.u32(atEvery) != 0 {
		return false // e2fsck decides
	}
	if s.u32(atReadOnly)&checksummed == 0 || s.u32(atChecksum) != ^crc32.Checksum(s[:atChecksum], crc32.MakeTable(crc32.Castagnoli)) {
		return false
	}
	return s.u16(atState) == clean && s.incompatible()&recover == 0 && s.u32(atReadOnly)&orphansPresent == 0 &&
		s.u32(atLastOrphan) == 0 && s.u32(atErrors) == 0
}

// neverMounted reports whether the file system was made and not mounted since.
func (s *superblock) neverMounted() bool {
	const atMountTime, atMountTimeHigh = 0x2c, 0x274
	return s.u32(atMountTime) == 0 && s[atMountTimeHigh] == 0
}

// superblockOf reads the superblock of the ext4 file system on a device.
func superblockOf(device string) (*superblock, error) {
	file, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return readSuperblock(file)
}

// inOrder reports whether the file system on a device needs no check.
func inOrder(device string) bool {
	s, err := superblockOf(device)
	return err == nil && s.inOrder()
}
