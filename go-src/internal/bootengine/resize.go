package bootengine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ext4ResizeFS is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64), of the kernel's
// fs/ext4/ext4.h: grow the mounted file system to a number of blocks.
const ext4ResizeFS = 0x40086610

// growFilesystem grows the ext4 file system mounted at target to the size of its
// partition, as resize2fs does online. A file system that fills it already is
// left alone.
func growFilesystem(sys, partition, target string) error {
	text, err := os.ReadFile(filepath.Join(sys, "class/block", partition, "size"))
	if err != nil {
		return err
	}
	sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return err
	}
	dir, err := os.Open(target)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return err
	}
	blocks := sectors * 512 / uint64(st.Bsize)
	// statfs leaves out ext4's own blocks (under a tenth): ask only for a growth
	// that is more than those.
	if blocks <= st.Blocks+st.Blocks/8 {
		return nil
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return errno
	}
	return nil
}
