package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
)

// imageGUID is how the partition GUIDs of the image begin (board/coreos/genimage.cfg).
var imageGUID = []byte{0xc0, 0x5e, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0}

// Renew gives the disk and its partitions new random GUIDs if the partition with a label has
// that of the image, which all copies of the image have. It reports whether it did. A power
// cut leaves a whole table. The kernel learns the new GUIDs at the next boot.
func (d Disk) Renew(sys, label string) (renewed bool, err error) {
	err = d.change(sys, label, func(target gpt.Device, index int) error {
		renewed, err = renewGUIDs(target, index)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("new GUIDs for disk %s: %w", d.Name, err)
	}
	return renewed, nil
}

func renewGUIDs(target gpt.Device, index int) (bool, error) {
	table, device, err := readTable(target)
	if err != nil {
		return false, err
	}
	partitions := table.Partitions()
	if index < 0 || index >= len(partitions) || partitions[index] == nil {
		return false, fmt.Errorf("there is no partition %d", index+1)
	}
	if !bytes.HasPrefix(partitions[index].PartGUID[:], imageGUID) {
		return false, nil
	}
	guid := uuid.New()
	device.guid = &guid
	for _, partition := range partitions {
		if partition != nil {
			partition.PartGUID = uuid.New()
		}
	}
	return true, table.Write()
}

// setGUID sets the GUID of the disk in the header of a partition table (UEFI 2.10,
// section 5.3.2; the first three fields of a GUID are little-endian).
func setGUID(header []byte, guid uuid.UUID) {
	const checksum, diskGUID = 16, 56
	le, be := binary.LittleEndian, binary.BigEndian
	at := header[diskGUID:]
	le.PutUint32(at, be.Uint32(guid[:]))
	le.PutUint16(at[4:], be.Uint16(guid[4:]))
	le.PutUint16(at[6:], be.Uint16(guid[6:]))
	copy(at[8:16], guid[8:])
	clear(header[checksum : checksum+4])
	le.PutUint32(header[checksum:], crc32.ChecksumIEEE(header[:gptHeaderSize]))
}
