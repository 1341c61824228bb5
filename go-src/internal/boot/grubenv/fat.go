package grubenv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"coreos/internal/boot/fat"
)

// fileName is the directory entry of /grubenv.
const fileName = "GRUBENV    "

// Locate returns the byte offset of the file /grubenv, the environment block, in the FAT32
// volume r. The build makes the file in one cluster, and it never moves.
func Locate(r io.ReaderAt) (int64, error) {
	offset, err := locate(r)
	if err != nil {
		return 0, fmt.Errorf("EFI system partition: %w", err)
	}
	return offset, nil
}

func locate(r io.ReaderAt) (int64, error) {
	volume, err := fat.Open(r)
	if err != nil {
		return 0, err
	}
	if volume.ClusterSize < Size {
		return 0, fmt.Errorf("FAT32 clusters of %d bytes are smaller than the environment block", volume.ClusterSize)
	}
	file, err := volume.Find(fileName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, errors.New("no file /grubenv")
	case err != nil:
		return 0, err
	case file.Size != Size:
		return 0, fmt.Errorf("/grubenv has %d bytes instead of %d", file.Size, Size)
	}
	return volume.Offset(file.First)
}
