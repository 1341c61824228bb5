package initramfs

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ext4ResizeFS is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64), of the kernel's
// fs/ext4/ext4.h: grow the mounted file system to a number of blocks.
const ext4ResizeFS = 0x40086610

// growFilesystem grows the mounted ext4 file system at target to the size of the device, as
// resize2fs does online. It does nothing if the file system has that size.
func growFilesystem(device, target string) error {
	file, err := os.Open(device)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	blocks, err := blocksToGrow(file, size)
	if err != nil || blocks == 0 {
		return err
	}
	dir, err := os.Open(target)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return fmt.Errorf("to %d blocks: %w", blocks, errno)
	}
	return nil
}

// blocksToGrow returns the number of blocks that the ext4 file system can have on a device
// of size bytes, 0 if it has that many.
func blocksToGrow(device io.ReaderAt, size int64) (uint64, error) {
	s, err := readSuperblock(device)
	if err != nil {
		return 0, err
	}
	if room := uint64(size) >> s.logBlockSize(); room > s.blocks() {
		return room, nil
	}
	return 0, nil
}
