package grubenv

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Device is the environment block on an EFI system partition, accessed below the
// file system: the partition is never mounted by the running system.
type Device struct {
	file   *os.File
	offset int64
}

// Open finds the environment block on the partition (a block device or an image
// file) at path.
func Open(path string) (*Device, error) {
	// O_EXCL is left out on purpose: firmware tools may hold the partition open.
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the EFI system partition: %w", err)
	}
	offset, err := Locate(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Device{file: file, offset: offset}, nil
}

// Close releases the partition.
func (d *Device) Close() error { return d.file.Close() }

// Read returns the variables.
func (d *Device) Read() (Env, error) {
	block := make([]byte, Size)
	if _, err := d.file.ReadAt(block, d.offset); err != nil {
		return nil, fmt.Errorf("read the GRUB environment: %w", err)
	}
	return Parse(block)
}

// Write replaces the variables, synchronously and in one sector: after it
// returned the new state is on the disk, before that the old or the new one.
func (d *Device) Write(env Env) error {
	block, err := env.Format()
	if err != nil {
		return err
	}
	if _, err := d.file.WriteAt(block, d.offset); err != nil {
		return fmt.Errorf("write the GRUB environment: %w", err)
	}
	return d.file.Sync()
}
