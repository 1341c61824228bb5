package grubenv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// fileName is the 8.3 directory entry of /grubenv.
const fileName = "GRUBENV    "

// maxRootClusters is the limit of clusters of the root directory that are read. The root of
// an EFI system partition has few entries.
const maxRootClusters = 64

// fat describes a FAT32 volume as far as that is needed to find one file in its root
// directory (Microsoft, "FAT: General Overview of On-Disk Format", 1.03).
type fat struct {
	r           io.ReaderAt
	tableOffset int64  // of the first allocation table, in bytes
	dataOffset  int64  // of cluster 2, in bytes
	clusterSize int64  // in bytes
	clusters    uint32 // number of the last cluster
	root        uint32 // first cluster of the root directory
}

// Locate returns the byte offset of the file /grubenv, the environment block, in the FAT32
// volume r. The build makes the file in one cluster, and it never moves.
func Locate(r io.ReaderAt) (int64, error) {
	volume, err := openFAT(r)
	if err != nil {
		return 0, fmt.Errorf("EFI system partition: %w", err)
	}
	offset, err := volume.find(fileName)
	if err != nil {
		return 0, fmt.Errorf("EFI system partition: %w", err)
	}
	return offset, nil
}

func openFAT(r io.ReaderAt) (*fat, error) {
	boot := make([]byte, 512)
	if _, err := r.ReadAt(boot, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
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
	f := &fat{
		r:           r,
		tableOffset: reserved * bytesPerSector,
		dataOffset:  data * bytesPerSector,
		clusterSize: sectorsPerCluster * bytesPerSector,
		clusters:    uint32((sectors-data)/sectorsPerCluster) + 1,
		root:        le.Uint32(boot[44:]),
	}
	if f.clusterSize < Size {
		return nil, fmt.Errorf("FAT32 clusters of %d bytes are smaller than the environment block", f.clusterSize)
	}
	return f, nil
}

// offset returns where cluster n starts, in bytes.
func (f *fat) offset(n uint32) (int64, error) {
	if n < 2 || n > f.clusters {
		return 0, fmt.Errorf("FAT32 cluster %d is outside of the volume", n)
	}
	return f.dataOffset + int64(n-2)*f.clusterSize, nil
}

// next returns the cluster that follows n in its chain.
func (f *fat) next(n uint32) (uint32, error) {
	entry := make([]byte, 4)
	if _, err := f.r.ReadAt(entry, f.tableOffset+int64(n)*4); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(entry) & 0x0fffffff, nil
}

// find returns the byte offset of a file of Size bytes in the root directory.
func (f *fat) find(name string) (int64, error) {
	const entrySize, volumeOrDirectory = 32, 0x18
	le := binary.LittleEndian
	dir := make([]byte, f.clusterSize)
	cluster := f.root
	for range maxRootClusters {
		at, err := f.offset(cluster)
		if err != nil {
			break // the end-of-chain mark, too, is outside the volume
		}
		if _, err := f.r.ReadAt(dir, at); err != nil {
			return 0, err
		}
		for entry := dir; len(entry) >= entrySize; entry = entry[entrySize:] {
			if entry[0] == 0 {
				return 0, errors.New("no file /grubenv")
			}
			if string(entry[:11]) != name || entry[11]&volumeOrDirectory != 0 {
				continue
			}
			if size := le.Uint32(entry[28:]); size != Size {
				return 0, fmt.Errorf("/grubenv has %d bytes instead of %d", size, Size)
			}
			return f.offset(uint32(le.Uint16(entry[20:]))<<16 | uint32(le.Uint16(entry[26:])))
		}
		if cluster, err = f.next(cluster); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no file /grubenv")
}
