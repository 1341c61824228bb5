// Command init is the first program of a machine on the host's kernel (see machine.Lab): it
// shows the machine what its firmware and hypervisor would, lays /etc and runs Ignition as
// the initramfs does, and becomes systemd.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/rootfs"
	"coreos/internal/boot/slot"
)

// given is the directory with the files that the test hands over.
const given = "/run/machine"

const (
	systemd = "/usr/lib/systemd/systemd"
	pause   = 2 * time.Second // before the next attempt, for a config that somebody mends
)

// The system's own configuration of networks is for hardware. It takes the virtual
// interfaces of a machine here for those of containers.
const (
	nicDropIn = "/run/systemd/network/zz-default.network.d/hardware.conf"
	nicMatch  = "[Match]\nKind=\nName=eth*\n"
)

// console prints messages as the initramfs does.
type console struct{}

func (console) print(format string, args ...any) { fmt.Printf("bootengine: "+format+"\n", args...) }

func (c console) Error(format string, args ...any)   { c.print(format, args...) }
func (c console) Warning(format string, args ...any) { c.print(format, args...) }
func (c console) Notice(format string, args ...any)  { c.print(format, args...) }
func (console) Info(string, ...any)                  {}

func main() {
	log := console{}
	err := boot(log)
	log.Error("%v", err)
	log.Error("the machine restarts in %v", pause)
	time.Sleep(pause) // not for an event: for a reader
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	os.Exit(1)
}

func boot(log console) error {
	if err := showHardware(); err != nil {
		return err
	}
	if err := ownHostname(); err != nil {
		return fmt.Errorf("a writable hostname: %w", err)
	}
	if err := rootfs.MountEtc("/"); err != nil {
		return err
	}
	if err := writeFile(nicDropIn, []byte(nicMatch)); err != nil {
		return err
	}
	record, err := os.ReadFile(given + "/boot")
	if err != nil {
		return err
	}
	if err := writeFile(slot.BootRecord, record); err != nil {
		return err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	_, first := os.Stat(given + "/first-boot")
	provisioning := rootfs.Provisioning{Cmdline: string(cmdline), FirstBoot: !errors.Is(first, fs.ErrNotExist), Log: log}
	if err := provisioning.Provision(context.Background()); err != nil {
		return err
	}
	if err := unix.Unmount(given+"/init", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Exec(systemd, []string{systemd, "--show-status=yes"}, os.Environ())
}

// showHardware puts the files of the test over those with which the host's kernel describes
// its hardware.
func showHardware() error {
	mounts := []struct{ source, target, fstype, data string }{
		{given + "/cmdline", "/proc/cmdline", "", ""},
		{given + "/sys/block", "/sys/block", "", ""},
		{"class", "/sys/class", "overlay", "lowerdir=" + given + "/sys/class:/sys/class"},
	}
	if _, err := os.Stat(given + "/sys/firmware"); err == nil {
		if err := makeFirmwareDir(); err != nil {
			return err
		}
		mounts = append(mounts, struct{ source, target, fstype, data string }{given + "/sys/firmware", "/sys/firmware", "", ""})
	}
	for _, m := range mounts {
		flags := uintptr(unix.MS_RDONLY)
		if m.fstype == "" {
			flags = unix.MS_BIND
		}
		if err := unix.Mount(m.source, m.target, m.fstype, flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// makeFirmwareDir makes /sys/firmware. systemd-nspawn leaves it out: /sys is a read-only
// tmpfs with some directories of the kernel's in it.
func makeFirmwareDir() error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if _, err := os.Stat("/sys/firmware"); err == nil {
		return nil
	}
	return errors.Join(
		unix.Mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""),
		os.Mkdir("/sys/firmware", 0o755),
		unix.Mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags, ""))
}

// ownHostname makes the machine's hostname writable in /proc/sys, which is read-only: most of
// it belongs to the host.
func ownHostname() error {
	const proc, name = "/run/proc", "/sys/kernel/hostname"
	return errors.Join(
		os.Mkdir(proc, 0o700),
		unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		unix.Mount(proc+name, "/proc"+name, "", unix.MS_BIND, ""),
		unix.Unmount(proc, unix.MNT_DETACH),
		os.Remove(proc))
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
