package disk

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Partition is an open partition, or a file that stands for one.
type Partition struct {
	*os.File
	size int64
}

// OpenPartition opens the device node of a partition. flag is a flag of os.OpenFile.
func OpenPartition(path string, flag int) (*Partition, error) {
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("open partition: %w", err)
	}
	partition, err := NewPartition(file)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return partition, nil
}

// NewPartition returns the partition that is open as a file.
func NewPartition(file *os.File) (*Partition, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("size of partition %s: %w", file.Name(), err)
	}
	return &Partition{file, size}, nil
}

// largeRead is the size in bytes from which a read counts as one of many, through a whole
// partition.
const largeRead = 64 << 10

// ReadAt implements io.ReaderAt. After a large read it drops the data from the kernel's
// cache: a program that reads a whole partition reads each part once, and the memory is
// better used by others.
func (p *Partition) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.File.ReadAt(b, offset)
	if n >= largeRead {
		// The range starts at 0, since the kernel drops only whole pieces of its cache, and a
		// piece may begin before this read. An error has no effect: the data are correct.
		_ = unix.Fadvise(int(p.Fd()), 0, offset+int64(n), unix.FADV_DONTNEED)
	}
	return n, err
}

// Size returns the size in bytes.
func (p *Partition) Size() int64 { return p.size }

// Sync flushes all writes to the medium and drops the cache of the kernel, so that later
// reads come from the medium.
func (p *Partition) Sync() error {
	if err := p.File.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(p.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop the cache of %s: %w", p.Name(), err)
	}
	return nil
}
