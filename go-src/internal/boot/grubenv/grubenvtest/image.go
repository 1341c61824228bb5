// Package grubenvtest makes EFI system partitions for tests.
package grubenvtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Geometry of the images: one cluster is one environment block, as in
// board/coreos/make-loader.sh.
const (
	sector          = 512
	reserved        = 32 // sectors before the first allocation table
	tables          = 2
	sectorsPerTable = 1
	clusterSectors  = 2
	clusters        = 32
	endOfChain      = 0x0fffffff
)

// Clusters of the image, from its start.
const (
	rootCluster    = 2
	efiCluster     = 3
	grubenvCluster = 7
	rootTail       = 9 // second cluster of the root directory
)

// GrubenvOffset is where the environment block starts in the image.
const GrubenvOffset = (reserved+tables*sectorsPerTable)*sector + (grubenvCluster-2)*clusterSectors*sector

// Image returns a small FAT32 volume with /grubenv. Its directory entry is in the second
// cluster of the root directory, after a volume label, a long name, a deleted file and a
// directory.
func Image(grubenv []byte) []byte {
	le := binary.LittleEndian
	image := make([]byte, (reserved+tables*sectorsPerTable+clusters*clusterSectors)*sector)
	copy(image, "\xeb\x58\x90mkfs.fat")
	le.PutUint16(image[11:], sector)
	image[13] = clusterSectors
	le.PutUint16(image[14:], reserved)
	image[16] = tables
	le.PutUint32(image[32:], uint32(len(image)/sector))
	le.PutUint32(image[36:], sectorsPerTable)
	le.PutUint32(image[44:], rootCluster)
	copy(image[82:], "FAT32   ")
	le.PutUint16(image[510:], 0xaa55)

	for table := range tables {
		at := image[(reserved+table*sectorsPerTable)*sector:]
		for cluster, next := range map[int]uint32{
			0: 0x0ffffff8, 1: endOfChain, rootCluster: rootTail, rootTail: endOfChain,
			efiCluster: endOfChain, grubenvCluster: endOfChain,
		} {
			le.PutUint32(at[4*cluster:], next)
		}
	}

	root := Cluster(image, rootCluster)
	entry(root, 0, "EFI-SYSTEM ", 0x08, 0, 0)
	entry(root, 1, "Bgrubenv.ol", 0x0f, 0, 0)
	entry(root, 2, "\xe5RUBENV    ", 0x20, efiCluster, 1024)
	entry(root, 3, "EFI        ", 0x10, efiCluster, 0)
	for i := 4; i < len(root)/32; i++ {
		entry(root, i, fmt.Sprintf("FILE%04d   ", i), 0x20, 0, 0)
	}
	entry(Cluster(image, rootTail), 0, "GRUBENV    ", 0x20, grubenvCluster, len(grubenv))
	copy(Cluster(image, grubenvCluster), grubenv)
	return image
}

// Cluster returns the cluster of an image with the number.
func Cluster(image []byte, number int) []byte {
	at := (reserved + tables*sectorsPerTable + (number-2)*clusterSectors) * sector
	return image[at : at+clusterSectors*sector]
}

// Entry returns the image's directory entry of /grubenv.
func Entry(image []byte) []byte { return Cluster(image, rootTail)[:32] }

func entry(dir []byte, index int, name string, attributes byte, cluster, size int) {
	at := dir[32*index:]
	copy(at, name)
	at[11] = attributes
	binary.LittleEndian.PutUint16(at[20:], uint16(cluster>>16))
	binary.LittleEndian.PutUint16(at[26:], uint16(cluster))
	binary.LittleEndian.PutUint32(at[28:], uint32(size))
}

// File writes an image to a temporary file and returns its path.
func File(t testing.TB, grubenv []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "efi-system.img")
	if err := os.WriteFile(path, Image(grubenv), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
