package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Extent is the position of a partition on its disk, in bytes.
type Extent struct{ Offset, Size int64 }

// Partitions reads the GPT of the disk: extents by label.
func (d *Disk) Partitions() (map[string]Extent, error) {
	const sector, entries, entrySize = 512, 128, 128
	table, err := d.Read(sector, sector+entries*entrySize)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(table, []byte("EFI PART")) {
		return nil, errors.New("the disk has no GPT")
	}
	le := binary.LittleEndian
	extents := map[string]Extent{}
	for entry := table[sector:]; len(entry) >= entrySize; entry = entry[entrySize:] {
		first, last := int64(le.Uint64(entry[32:])), int64(le.Uint64(entry[40:]))
		name := make([]uint16, 36)
		for i := range name {
			name[i] = le.Uint16(entry[56+2*i:])
		}
		label := string(bytes.TrimRight([]byte(string(utf16.Decode(name))), "\x00"))
		if first != 0 && label != "" {
			extents[label] = Extent{first * sector, (last - first + 1) * sector}
		}
	}
	return extents, nil
}

// Partition returns the position of the partition with a label.
func (d *Disk) Partition(label string) (Extent, error) {
	extents, err := d.Partitions()
	if err != nil {
		return Extent{}, err
	}
	extent, ok := extents[label]
	if !ok {
		return Extent{}, fmt.Errorf("the disk has no partition %s", label)
	}
	return extent, nil
}
