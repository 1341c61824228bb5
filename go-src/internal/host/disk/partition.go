package disk

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Partition is an open partition, or a file in its stead.
type Partition struct {
	*os.File
	size int64
}

// OpenPartition opens a partition's device node, to be read only or to be written as
// well.
func OpenPartition(path string, flag int) (*Partition, error) {
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("open a partition: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("size of partition %s: %w", path, err)
	}
	return &Partition{file, size}, nil
}

// Size returns the size in bytes.
func (p *Partition) Size() int64 { return p.size }

// Sync waits for everything written to be on the medium, and makes the kernel forget its
// copy, so that what is read later comes from there.
func (p *Partition) Sync() error {
	if err := p.File.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(p.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop the cache of %s: %w", p.Name(), err)
	}
	return nil
}
