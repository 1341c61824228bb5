package disk

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// gptSector is the size of a logical sector in the product's image, in bytes.
const gptSector = 512

// Truncated tells of a disk that the image was written to although it is
// smaller than the image: such a disk shows no partitions at all, since the
// kernel rejects the table. It returns "" when there is none.
func Truncated(sys string) string {
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
		header := make([]byte, gptSector)
		if err := readAt("/dev/"+name, header, gptSector); err != nil {
			continue
		}
		if need := imageSectors(header); need > sectors {
			return fmt.Sprintf("disk %s has %d MiB, but the image written to it needs %d MiB: write it to a larger disk",
				name, sectors*gptSector>>20, (need*gptSector+1<<20-1)>>20)
		}
	}
	return ""
}

// imageSectors returns the number of sectors that a GPT header (UEFI 2.10,
// table 5-5) lays claim to, 0 if it is none.
func imageSectors(header []byte) uint64 {
	if string(header[:8]) != "EFI PART" {
		return 0
	}
	const alternateLBA, lastUsableLBA = 32, 48
	return max(binary.LittleEndian.Uint64(header[alternateLBA:]), binary.LittleEndian.Uint64(header[lastUsableLBA:])) + 1
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
