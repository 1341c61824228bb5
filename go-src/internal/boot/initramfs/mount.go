package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/rootfs"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/provision/firstboot"
)

// mount are the arguments of mount(2).
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
	}
	return nil
}

func mountAllOf(mounts []mount) error {
	for _, m := range mounts {
		if err := m.do(); err != nil {
			return err
		}
	}
	return nil
}

func mountKernelFilesystems() error {
	const strict = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return mountAllOf([]mount{
		{"proc", "/proc", "proc", strict, ""},
		{"sysfs", sysfs, "sysfs", strict, ""},
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	})
}

// mountIfKnown mounts an interface of the kernel, unless the kernel does not have it.
func (e *engine) mountIfKnown(m mount) {
	if err := m.do(); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, fs.ErrPermission) {
		e.log.Warning("%v", err)
	}
}

// mountInterfaces mounts further interfaces of the kernel. systemd's units of the same name
// would do it, but a unit and a process for each take longer.
func (e *engine) mountInterfaces() {
	const data, strict = unix.MS_NOSUID | unix.MS_NODEV, unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []mount{
		{"hugetlbfs", "/dev/hugepages", "hugetlbfs", data, ""},
		{"mqueue", "/dev/mqueue", "mqueue", strict, ""},
		{"debugfs", sysfs + "/kernel/debug", "debugfs", strict, ""},
		{"tracefs", sysfs + "/kernel/tracing", "tracefs", strict, ""},
	} {
		e.mountIfKnown(m)
	}
}

// mountAll mounts the file systems of the machine below sysroot.
func (e *engine) mountAll() error {
	usr, err := e.disk.Path(e.args.Slot.UsrLabel())
	if err != nil {
		return err
	}
	device, err := e.args.Usr.Open(usr, "usr")
	if err != nil {
		return &slotError{"usr-verity", err}
	}
	// /usr is mounted where its tools expect it first, to check ROOT.
	if err := (mount{device, "/usr", "erofs", unix.MS_RDONLY | unix.MS_NODEV, ""}).do(); err != nil {
		return &slotError{"usr-mount", err}
	}
	e.pinModules()
	if err := e.mountRoot(); err != nil {
		return err
	}
	if err := rootfs.LayOut(sysroot, "/usr"); err != nil {
		return fmt.Errorf("lay out the root file system: %w", err)
	}
	oem, err := e.disk.Path(disk.OEMLabel)
	if err != nil {
		return err
	}
	if err := (mount{"/usr", sysroot + "/usr", "", unix.MS_MOVE, ""}).do(); err != nil {
		return err
	}
	if err := rootfs.MountEtc(sysroot); err != nil {
		return err
	}
	e.mountInterfaces()
	if err := (mount{oem, sysroot + "/oem", "ext4", unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID, ""}).do(); err != nil {
		e.log.Warning("%v; going on without it", err)
	}
	return e.record("/")
}

// mountRoot checks, mounts and grows the root file system.
func (e *engine) mountRoot() error {
	path, err := e.disk.Path(disk.RootLabel)
	if err != nil {
		return err
	}
	if err := e.mountChecked(mount{path, sysroot, "ext4", 0, rootfs.MountOptions}); err != nil {
		if note := e.store(func(s slot.Store) error { return slot.Note(s, e.args.Slot, "root-mount") }); note != nil {
			e.log.Warning("%v", note)
		}
		return fmt.Errorf("%w (the data on ROOT is damaged; attach the disk to another machine and run e2fsck on partition %s)", err, disk.RootLabel)
	}
	if err := growFilesystem(path, sysroot); err != nil {
		e.log.Warning("grow the root file system: %v; going on with the size that it has", err)
	}
	if e.firstBoot, err = firstboot.Begin(sysroot); err != nil {
		return fmt.Errorf("first boot: %w", err)
	}
	return nil
}

// mountChecked mounts a file system. It checks it by e2fsck before, unless it was unmounted
// cleanly and can be mounted.
func (e *engine) mountChecked(m mount) error {
	if inOrder(m.source) {
		if err := m.do(); err == nil {
			return nil
		}
	}
	e.checkFilesystem(m.source)
	return m.do()
}

// checkFilesystem runs e2fsck, which replays the journal and repairs what can be repaired
// safely.
func (e *engine) checkFilesystem(path string) {
	const mended, reboot = 1, 2 // exit status bits of e2fsck(8)
	out, err := exec.Command("/usr/sbin/e2fsck", "-p", path).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode()&^(mended|reboot) == 0 {
		err = nil
	}
	if err != nil {
		e.log.Warning("e2fsck %s: %v: %s", path, err, strings.TrimSpace(string(out)))
	}
}

// store calls change with the environment block of the disk.
func (e *engine) store(change func(slot.Store) error) error {
	path, err := e.disk.Path(disk.EFISystemLabel)
	if err != nil {
		return err
	}
	return slot.OnPartition(path, change)
}
