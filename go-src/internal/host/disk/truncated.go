package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Geometry of a GPT (UEFI 2.10, section 5.3) in the system's image.
const (
	gptSector     = 512 // bytes of a logical sector
	gptHeaderSize = 92
	gptEntrySize  = 128
	gptEntries    = 128
)

// Truncated describes a disk that is smaller than the image that was written to it, "" if
// there is none. Such a disk has no partitions at all, since the kernel rejects the table.
func Truncated(sys string) string { return truncated(sys, "/dev") }

func truncated(sys, dev string) string {
	sizes, _ := filepath.Glob(filepath.Join(sys, "block", "*", "size"))
	for _, path := range sizes {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || sectors == 0 {
			continue
		}
		name := filepath.Base(filepath.Dir(path))
		table := make([]byte, gptSector+gptEntries*gptEntrySize)
		if err := readAt(filepath.Join(dev, name), table, gptSector); err != nil {
			continue
		}
		if need := imageSectors(table); need > sectors {
			return fmt.Sprintf("disk %s has %d MiB, but the image written to it needs %d MiB: write it to a larger disk",
				name, mebibytes(sectors), mebibytes(need+mebibyteSectors-1))
		}
	}
	return ""
}

const mebibyteSectors = 1 << 20 / gptSector

func mebibytes(sectors uint64) uint64 { return sectors / mebibyteSectors }

// imageSectors returns the number of sectors that a partition table (header and entries)
// needs. It returns 0 for a table that is not the system's, such as one of a larger array
// that the disk belongs to, or of a disk with other data.
func imageSectors(table []byte) uint64 {
	const (
		checksum, alternateLBA, lastUsableLBA = 16, 32, 48 // in the header
		label                                 = 56         // in an entry
		most                                  = 1 << 48    // sectors of a disk
	)
	le := binary.LittleEndian
	header, entries := [gptHeaderSize]byte(table), table[gptSector:]
	sum := le.Uint32(header[checksum:])
	clear(header[checksum : checksum+4])
	if string(header[:8]) != "EFI PART" || crc32.ChecksumIEEE(header[:]) != sum {
		return 0
	}
	labels := map[string]bool{}
	for ; len(entries) >= gptEntrySize; entries = entries[gptEntrySize:] {
		labels[strings.ReplaceAll(string(entries[label:gptEntrySize]), "\x00", "")] = true // UTF-16
	}
	last := max(le.Uint64(header[alternateLBA:]), le.Uint64(header[lastUsableLBA:]))
	if !labels[EFISystemLabel] || !labels[OEMLabel] || !labels[RootLabel] || last >= most {
		return 0
	}
	return last + 1
}

func readAt(path string, b []byte, offset int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = file.ReadAt(b, offset)
	return err
}
