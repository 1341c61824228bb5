// Package fat finds files in a FAT32 volume and replaces them so that a power cut leaves
// the old file or the new one. The EFI system partition is such a volume; it is accessed on
// the raw device, since the running system never mounts it. See Microsoft, "FAT: General
// Overview of On-Disk Format", 1.03.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

const (
	sector      = 512
	entrySize   = 32
	firstData   = 2          // number of the first cluster
	clusterMask = 0x0fffffff // the other bits of an entry of the table are reserved

	// maxDirectory is the limit of clusters of a directory that are read, maxFile that of
	// bytes of a file.
	maxDirectory = 64
	maxFile      = 64 << 20
)

// attributes of directory entries
const (
	volumeLabel = 0x08
	directory   = 0x10
)

var le = binary.LittleEndian

// Volume is a FAT32 volume with sectors of 512 bytes.
type Volume struct {
	// ClusterSize is in bytes.
	ClusterSize int64

	r           io.ReaderAt
	info        int64  // offset of the sector FSInfo in bytes, 0 if there is none
	tableOffset int64  // of the first allocation table, in bytes
	tableSize   int64  // of each, in bytes
	tables      int64  // number of tables, which have the same content
	dataOffset  int64  // of the first cluster, in bytes
	last        uint32 // number of the last cluster
	root        uint32 // first cluster of the root directory
}

// Open reads the description of a volume.
func Open(r io.ReaderAt) (*Volume, error) {
	boot := make([]byte, sector)
	if _, err := r.ReadAt(boot, 0); err != nil {
		return nil, err
	}
	bytesPerSector := int64(le.Uint16(boot[11:]))
	sectorsPerCluster := int64(boot[13])
	reserved := int64(le.Uint16(boot[14:]))
	tables := int64(boot[16])
	sectors := int64(le.Uint32(boot[32:]))
	sectorsPerTable := int64(le.Uint32(boot[36:]))
	if le.Uint16(boot[510:]) != 0xaa55 || bytesPerSector != sector || sectorsPerCluster == 0 ||
		reserved == 0 || tables == 0 || sectorsPerTable == 0 || le.Uint16(boot[22:]) != 0 {
		return nil, errors.New("not a FAT32 volume with sectors of 512 bytes")
	}
	data := reserved + tables*sectorsPerTable
	if data >= sectors {
		return nil, errors.New("the FAT32 volume has no data area")
	}
	v := &Volume{
		ClusterSize: sectorsPerCluster * sector,
		r:           r,
		tableOffset: reserved * sector,
		tableSize:   sectorsPerTable * sector,
		tables:      tables,
		dataOffset:  data * sector,
		last:        uint32((sectors-data)/sectorsPerCluster) + 1,
		root:        le.Uint32(boot[44:]),
	}
	if info := int64(le.Uint16(boot[48:])); info > 0 && info < reserved {
		v.info = info * sector
	}
	return v, nil
}

// Offset returns where a cluster starts, in bytes.
func (v *Volume) Offset(cluster uint32) (int64, error) {
	if cluster < firstData || cluster > v.last {
		return 0, fmt.Errorf("FAT32 cluster %d is outside of the volume", cluster)
	}
	return v.dataOffset + int64(cluster-firstData)*v.ClusterSize, nil
}

// next returns the cluster that follows in the chain of a file.
func (v *Volume) next(cluster uint32) (uint32, error) {
	entry := make([]byte, 4)
	if _, err := v.r.ReadAt(entry, v.tableOffset+int64(cluster)*4); err != nil {
		return 0, err
	}
	return le.Uint32(entry) & clusterMask, nil
}

// File is a file as its directory entry describes it.
type File struct {
	First uint32 // cluster
	Size  uint32 // in bytes

	entry int64 // offset of the directory entry in bytes
}

// Find finds a file by the names on its path, as they are in directory entries: 11
// characters in upper case, such as "BOOTX64 EFI". The error is fs.ErrNotExist if there is
// none.
func (v *Volume) Find(path ...string) (File, error) {
	dir := v.root
	for n, name := range path {
		kind := byte(directory)
		if n == len(path)-1 {
			kind = 0
		}
		file, err := v.lookup(dir, name, kind)
		if err != nil {
			return File{}, fmt.Errorf("/%s: %w", strings.Join(path[:n+1], "/"), err)
		}
		if kind == 0 {
			return file, nil
		}
		dir = file.First
	}
	return File{}, fs.ErrNotExist
}

func (v *Volume) lookup(cluster uint32, name string, kind byte) (File, error) {
	dir := make([]byte, v.ClusterSize)
	for range maxDirectory {
		at, err := v.Offset(cluster)
		if err != nil {
			break // the end-of-chain mark, too, is outside the volume
		}
		if _, err := v.r.ReadAt(dir, at); err != nil {
			return File{}, err
		}
		for n := 0; n+entrySize <= len(dir); n += entrySize {
			entry := dir[n : n+entrySize]
			if entry[0] == 0 {
				return File{}, fs.ErrNotExist
			}
			if string(entry[:11]) == name && entry[11]&(volumeLabel|directory) == kind {
				first := uint32(le.Uint16(entry[20:]))<<16 | uint32(le.Uint16(entry[26:]))
				return File{First: first, Size: le.Uint32(entry[28:]), entry: at + int64(n)}, nil
			}
		}
		if cluster, err = v.next(cluster); err != nil {
			return File{}, err
		}
	}
	return File{}, fs.ErrNotExist
}

// Read returns the content of a file.
func (v *Volume) Read(f File) ([]byte, error) {
	chain, err := v.chain(f)
	if err != nil {
		return nil, err
	}
	data := make([]byte, int64(len(chain))*v.ClusterSize)
	for n, cluster := range chain {
		at, err := v.Offset(cluster)
		if err != nil {
			return nil, err
		}
		if _, err := v.r.ReadAt(data[int64(n)*v.ClusterSize:][:v.ClusterSize], at); err != nil {
			return nil, err
		}
	}
	return data[:f.Size], nil
}

// chain returns the clusters that hold a file.
func (v *Volume) chain(f File) ([]uint32, error) {
	if f.Size > maxFile {
		return nil, fmt.Errorf("a file of %d bytes is too large", f.Size)
	}
	var chain []uint32
	for cluster := f.First; len(chain) < v.count(int64(f.Size)); {
		if _, err := v.Offset(cluster); err != nil {
			return nil, err
		}
		chain = append(chain, cluster)
		var err error
		if cluster, err = v.next(cluster); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// count returns how many clusters a file of size bytes fills.
func (v *Volume) count(size int64) int { return int((size + v.ClusterSize - 1) / v.ClusterSize) }
