package grubenv

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Partition is an EFI system partition: a block device or an image file.
type Partition interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Device is the environment block on an EFI system partition. It is accessed on the raw
// partition, since the running system never mounts it.
type Device struct {
	partition Partition
	offset    int64
}

// Open opens the partition at path and finds the environment block.
func Open(path string) (*Device, error) {
	// There is no O_EXCL on purpose: firmware tools may have the partition open.
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the EFI system partition: %w", err)
	}
	device, err := On(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return device, nil
}

// On finds the environment block on a partition.
func On(partition Partition) (*Device, error) {
	offset, err := Locate(partition)
	if err != nil {
		return nil, err
	}
	return &Device{partition, offset}, nil
}

// Close releases the partition.
func (d *Device) Close() error {
	if closer, ok := d.partition.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Read returns the variables.
func (d *Device) Read() (Env, error) {
	block := make([]byte, Size)
	if _, err := d.partition.ReadAt(block, d.offset); err != nil {
		return nil, fmt.Errorf("read the GRUB environment: %w", err)
	}
	return Parse(block)
}

// Write replaces the variables synchronously and in one sector: an interruption leaves
// either the old or the new variables.
func (d *Device) Write(env Env) error {
	block, err := env.Format()
	if err != nil {
		return err
	}
	if _, err := d.partition.WriteAt(block, d.offset); err != nil {
		return fmt.Errorf("write the GRUB environment: %w", err)
	}
	return d.partition.Sync()
}
