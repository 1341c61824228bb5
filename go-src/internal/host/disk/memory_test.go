package disk

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
)

const mib = 1 << 20

type sector [512]byte

// memory is a disk that logs what reached it; a nil in the log stands for a Sync.
type memory struct {
	t        testing.TB
	size     int64
	sectors  map[int64]sector
	log      []*write
	resized  map[int]string // what the kernel was told: "FIRST LENGTH" in bytes
	writeErr error
}

func newMemory(t testing.TB, size int64, sectors map[int64]sector) *memory {
	return &memory{t: t, size: size, sectors: maps.Clone(sectors), resized: map[int]string{}}
}

func (m *memory) ReadAt(b []byte, offset int64) (int, error) {
	if offset < 0 || offset%512 != 0 || len(b)%512 != 0 {
		return 0, fmt.Errorf("read of %d bytes at %d", len(b), offset)
	}
	for n := 0; n < len(b); n += 512 {
		if offset+int64(n) >= m.size {
			return n, io.EOF
		}
		s := m.sectors[offset/512+int64(n/512)]
		copy(b[n:], s[:])
	}
	return len(b), nil
}

func (m *memory) WriteAt(b []byte, offset int64) (int, error) {
	if m.writeErr != nil {
		return 0, m.writeErr
	}
	if offset < 512 || offset%512 != 0 || len(b)%512 != 0 || offset+int64(len(b)) > m.size {
		m.t.Errorf("write of %d bytes at %d", len(b), offset)
		return 0, io.ErrShortWrite
	}
	w := &write{offset, slices.Clone(b)}
	m.log = append(m.log, w)
	for _, p := range w.pieces() {
		m.sectors[p.number] = p.content
	}
	return len(b), nil
}

func (m *memory) Sync() error              { m.log = append(m.log, nil); return nil }
func (m *memory) GetSectorSize() uint      { return 512 }
func (m *memory) GetSize() uint64          { return uint64(m.size) }
func (m *memory) GetIOSize() (uint, error) { return 512, nil }

func (m *memory) GetKernelLastPartitionNum() (int, error) { return len(layout), nil }

func (m *memory) KernelPartitionAdd(number int, _, _ uint64) error {
	m.t.Errorf("partition %d was added: its label in sysfs is lost", number)
	return nil
}

func (m *memory) KernelPartitionDelete(number int) error {
	m.t.Errorf("partition %d was deleted: its label in sysfs is lost", number)
	return nil
}

func (m *memory) KernelPartitionResize(number int, first, length uint64) error {
	m.resized[number] = fmt.Sprint(first, length)
	return nil
}

// piece is one sector of a write.
type piece struct {
	number  int64
	content sector
}

func (w *write) pieces() []piece {
	var pieces []piece
	for n := 0; n < len(w.data); n += 512 {
		pieces = append(pieces, piece{w.offset/512 + int64(n/512), sector(w.data[n : n+512])})
	}
	return pieces
}

// layout is the image's on a smaller scale: BIOS-BOOT, the second partition, lies
// before the first.
var layout = []string{"EFI-SYSTEM", "BIOS-BOOT", "BOOT-A", "USR-A", "BOOT-B", "USR-B", "OEM", "ROOT"}

const rootIndex = 7

const imageSize = 16 * mib

func guid(n byte) [16]byte { return [16]byte{0xc0, 0x5e, n} }

// image returns the sectors of the image.
func image(t testing.TB) map[int64]sector {
	t.Helper()
	file := newMemory(t, imageSize, map[int64]sector{})
	table, err := gpt.New(imageFile{file}, gpt.WithSkipPMBR(), gpt.WithDiskGUID(guid(0xff)))
	if err != nil {
		t.Fatal(err)
	}
	for i, label := range layout {
		if _, _, err := table.AllocatePartition(mib, label, guid(1), gpt.WithUniqueGUID(guid(byte(i)))); err != nil {
			t.Fatal(err)
		}
	}
	entries := table.Partitions()
	first, second := entries[0], entries[1]
	first.FirstLBA, second.FirstLBA = second.FirstLBA, first.FirstLBA
	first.LastLBA, second.LastLBA = second.LastLBA, first.LastLBA
	if err := table.Write(); err != nil {
		t.Fatal(err)
	}
	return file.sectors
}

// imageFile is a disk that the kernel does not know.
type imageFile struct{ *memory }

func (imageFile) GetKernelLastPartitionNum() (int, error)      { return 0, nil }
func (imageFile) KernelPartitionAdd(int, uint64, uint64) error { return nil }

// entry is a partition as the kernel sees it.
type entry struct {
	label       string
	guids       string
	first, last uint64
}

// tableAt reads the table whose header is sector lba, as is_gpt_valid of the
// kernel's block/partitions/efi.c judges it.
func tableAt(disk io.ReaderAt, lba, lastLBA uint64) (entries []entry, alternate uint64, err error) {
	le := binary.LittleEndian
	header := make([]byte, 512)
	if _, err := disk.ReadAt(header, int64(lba)*512); err != nil {
		return nil, 0, err
	}
	size, crc := le.Uint32(header[12:]), le.Uint32(header[16:])
	if string(header[:8]) != "EFI PART" || size < 92 || size > 512 {
		return nil, 0, fmt.Errorf("sector %d is no header", lba)
	}
	clear(header[16:20])
	firstUsable, lastUsable := le.Uint64(header[40:]), le.Uint64(header[48:])
	if crc32.ChecksumIEEE(header[:size]) != crc || le.Uint64(header[24:]) != lba ||
		firstUsable > lastLBA || lastUsable > lastLBA || lastUsable < firstUsable {
		return nil, 0, fmt.Errorf("invalid header in sector %d", lba)
	}
	if le.Uint32(header[84:]) != 128 || le.Uint32(header[80:]) > 1024 {
		return nil, 0, fmt.Errorf("header in sector %d: unlikely entries", lba)
	}
	table := make([]byte, 128*le.Uint32(header[80:]))
	if _, err := disk.ReadAt(table, int64(le.Uint64(header[72:]))*512); err != nil {
		return nil, 0, err
	}
	if crc32.ChecksumIEEE(table) != le.Uint32(header[88:]) {
		return nil, 0, fmt.Errorf("header in sector %d: entries have another checksum", lba)
	}
	for ; len(table) > 0; table = table[128:] {
		if slices.Max(table[:16]) == 0 {
			continue
		}
		label := strings.ReplaceAll(string(table[56:128]), "\x00", "") // UTF-16, but all ASCII
		entries = append(entries, entry{label, hex.EncodeToString(table[:32]), le.Uint64(table[32:]), le.Uint64(table[40:])})
	}
	return entries, le.Uint64(header[32:]), nil
}

// kernelTable returns the partitions that Linux makes with the parameter "gpt"
// (find_valid_gpt): those of the primary table, else of the backup at the end of
// the disk.
func kernelTable(m *memory) ([]entry, error) {
	lastLBA := uint64(m.size/512 - 1)
	entries, _, err := tableAt(m, 1, lastLBA)
	if err == nil {
		return entries, nil
	}
	entries, _, backupErr := tableAt(m, lastLBA, lastLBA)
	if backupErr != nil {
		return nil, fmt.Errorf("no valid table: %w; %w", err, backupErr)
	}
	return entries, nil
}

func ones() (s sector) {
	for i := range s {
		s[i] = 0xff
	}
	return s
}

func putLBA(b []byte, lba uint64) { binary.LittleEndian.PutUint64(b, lba) }

// rewriteHeader changes a table's header and makes its checksum right.
func rewriteHeader(header sector, change func(header []byte)) sector {
	change(header[:])
	clear(header[16:20])
	binary.LittleEndian.PutUint32(header[16:], crc32.ChecksumIEEE(header[:92]))
	return header
}

// addPartition returns the disk's sectors with another entry in the primary table.
func addPartition(m *memory, index int, first, last uint64) map[int64]sector {
	table := make([]byte, 128*128)
	if _, err := m.ReadAt(table, 2*512); err != nil {
		m.t.Fatal(err)
	}
	e := table[128*index:]
	copy(e, "type of its own 16 GUID")
	putLBA(e[32:], first)
	putLBA(e[40:], last)
	sectors := maps.Clone(m.sectors)
	for _, p := range (&write{2 * 512, table}).pieces() {
		sectors[p.number] = p.content
	}
	sectors[1] = rewriteHeader(sectors[1], func(h []byte) {
		putLBA(h[48:], last)
		binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(table))
	})
	return sectors
}
