package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Device is the device of a volume. After Sync all that was written is on the medium, and
// reads come from there.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

const (
	endOfChain    = clusterMask
	freeCount     = 488 // in FSInfo: the number of free clusters
	maxTableBytes = 64 << 20
)

// Replace gives a file new content. The new content is written to free clusters and read
// back before one sector, that of the directory entry, switches to it: a power cut at any
// moment leaves the old content or the new one. At worst the clusters of one of them stay
// marked as used.
func (v *Volume) Replace(d Device, f File, data []byte) error {
	if len(data) == 0 || len(data) > maxFile {
		return fmt.Errorf("a file of %d bytes", len(data))
	}
	old, err := v.chain(f)
	if err != nil {
		return err
	}
	t, err := v.readTable(d)
	if err != nil {
		return err
	}
	n := v.count(int64(len(data)))
	first, err := t.free(n)
	if err != nil {
		return err
	}
	at, err := v.Offset(first)
	if err != nil {
		return err
	}
	padded := make([]byte, int64(n)*v.ClusterSize)
	copy(padded, data)
	if err := WriteBack(d, padded, at); err != nil {
		return err
	}
	for c := first; c < first+uint32(n)-1; c++ {
		t.set(c, c+1)
	}
	t.set(first+uint32(n)-1, endOfChain)
	if err := t.write(d); err != nil {
		return err
	}
	if err := v.point(d, f, first, uint32(len(data))); err != nil {
		return err
	}
	for _, c := range old {
		t.set(c, 0)
	}
	return errors.Join(t.write(d), v.forgetCount(d))
}

// point has the directory entry point to other content. This is the one write that
// switches.
func (v *Volume) point(d Device, f File, first, size uint32) error {
	at := f.entry / sector * sector
	dir := make([]byte, sector)
	if _, err := d.ReadAt(dir, at); err != nil {
		return err
	}
	entry := dir[f.entry-at:]
	le.PutUint16(entry[20:], uint16(first>>16))
	le.PutUint16(entry[26:], uint16(first))
	le.PutUint32(entry[28:], size)
	return WriteBack(d, dir, at)
}

// forgetCount marks the number of free clusters in FSInfo, a hint, as not known.
func (v *Volume) forgetCount(d Device) error {
	if v.info == 0 {
		return nil
	}
	info := make([]byte, sector)
	if _, err := d.ReadAt(info, v.info); err != nil {
		return err
	}
	le.PutUint32(info[freeCount:], 0xffffffff)
	return WriteBack(d, info, v.info)
}

// table is the allocation table of a volume, which has copies.
type table struct {
	volume  *Volume
	entries []byte
	changed map[int64]bool // offsets of sectors in the table
}

func (v *Volume) readTable(d Device) (*table, error) {
	size := int64(v.last+1) * 4
	if size > v.tableSize || size > maxTableBytes {
		return nil, errors.New("the allocation table is smaller than the FAT32 volume")
	}
	t := &table{volume: v, entries: make([]byte, (size+sector-1)/sector*sector), changed: map[int64]bool{}}
	if _, err := d.ReadAt(t.entries, v.tableOffset); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *table) get(cluster uint32) uint32 { return le.Uint32(t.entries[4*cluster:]) & clusterMask }

func (t *table) set(cluster, value uint32) {
	reserved := le.Uint32(t.entries[4*cluster:]) &^ clusterMask
	le.PutUint32(t.entries[4*cluster:], reserved|value)
	t.changed[int64(4*cluster)/sector*sector] = true
}

// free returns the first of n free clusters in a row.
func (t *table) free(n int) (uint32, error) {
	run := 0
	for c := uint32(firstData); c <= t.volume.last; c++ {
		if t.get(c) != 0 {
			run = 0
		} else if run++; run == n {
			return c - uint32(n) + 1, nil
		}
	}
	return 0, fmt.Errorf("the FAT32 volume has no room for %d KiB in one piece", int64(n)*t.volume.ClusterSize>>10)
}

// write writes the changed sectors to all copies of the table.
func (t *table) write(d Device) error {
	for n := range t.volume.tables {
		for at := range t.changed {
			if _, err := d.WriteAt(t.entries[at:at+sector], t.volume.tableOffset+n*t.volume.tableSize+at); err != nil {
				return err
			}
		}
	}
	if err := d.Sync(); err != nil {
		return err
	}
	clear(t.changed)
	return nil
}

// WriteBack writes, and reads back from the medium what it has written.
func WriteBack(d Device, data []byte, at int64) error {
	if _, err := d.WriteAt(data, at); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	got := make([]byte, len(data))
	if _, err := d.ReadAt(got, at); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("the disk does not keep what is written at byte %d", at)
	}
	return nil
}
