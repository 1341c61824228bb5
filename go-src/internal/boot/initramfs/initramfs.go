// Package initramfs is the program of the initramfs: it finds the disk and the slot that
// GRUB chose, opens the verified /usr, mounts the root file system around it and starts
// systemd.
//
// If the slot cannot be used, it loses its tries, the reason is recorded in the environment
// block, and the machine restarts into the other slot. Other errors, such as a missing disk
// or a damaged ROOT, are shown on the console, and the machine restarts after a pause.
package initramfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/kmod"
	"coreos/internal/boot/rootfs"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

const (
	sysroot = "/sysroot"
	sysfs   = "/sys"
	pause   = 30 * time.Second // for an operator to read the console before the next attempt
)

// slotError is an error of the chosen slot, with a short reason for the environment block.
type slotError struct {
	why string
	err error
}

func (e *slotError) Error() string { return e.err.Error() }
func (e *slotError) Unwrap() error { return e.err }

// engine is the state of one boot.
type engine struct {
	log       *console
	args      cmdline.Args
	disk      disk.Disk   // that GRUB booted from
	copies    []disk.Disk // others that have the system
	firstBoot bool        // not finished on this root file system
}

// Run boots the machine as process 1 of the initramfs. It returns only if the machine
// cannot be started.
func Run() {
	e := &engine{}
	os.Clearenv() // of words from the kernel command line
	if err := mountKernelFilesystems(); err != nil {
		fmt.Fprintln(os.Stderr, "bootengine:", err)
	}
	e.log = openConsole()
	err := e.boot()
	e.fail(err)
}

func (e *engine) boot() error {
	arguments, err := os.ReadFile(kernelCmdline)
	if err != nil {
		return err
	}
	line, err := e.filterArguments(string(arguments))
	if err != nil {
		return err
	}
	if e.args, err = cmdline.Parse(line); err != nil {
		return fmt.Errorf("kernel command line: %w", err)
	}
	mixed := checkRelease(line)
	modules, err := kmod.NewLoader("/usr/lib/modules", e.log.Warning)
	if err != nil {
		return fmt.Errorf("kernel modules: %w", err)
	}
	panicked := e.findPanic(modules, line)
	e.lockDown()
	if err := errors.Join(mixed, e.findDisk(modules)); err != nil { // the disk has the environment block
		return err
	}
	e.warnOfCopies()
	e.reportFallback(panicked)
	if err := e.growRoot(); err != nil {
		e.log.Warning("%v; going on with the size that it has", err)
	}
	if err := e.renewGUIDs(); err != nil {
		e.log.Warning("%v; going on with those of the image", err)
	}
	if err := e.mountAll(); err != nil {
		return err
	}
	if err := switchRoot(); err != nil {
		return err
	}
	provisioning := rootfs.Provisioning{Cmdline: line, FirstBoot: e.firstBoot, Log: e.log}
	if err := provisioning.Provision(context.Background()); err != nil {
		return err
	}
	e.log.Notice("slot %s on disk %s, starting systemd", e.args.Slot, e.disk.Name)
	return startSystemd()
}

// reportFallback records why earlier boots failed, as far as that is known. If the machine
// fell back from the other slot, it logs the reason, which also reaches the journal.
func (e *engine) reportFallback(panicked string) {
	err := e.store(func(s slot.Store) error {
		if err := slot.RecordFailure(s, e.args.Slot, panicked); err != nil {
			return err
		}
		states, err := slot.Load(s)
		if reason := states.OutOfTries(e.args.Slot.Other()); err == nil && reason != "" {
			e.log.Warning("slot %s is out of tries: %s", e.args.Slot.Other(), reason)
		}
		return err
	})
	if err != nil {
		e.log.Warning("%v", err)
	}
}

func (e *engine) growRoot() error {
	grown, err := e.disk.Grow(sysfs, disk.RootLabel)
	if err == nil && grown > 0 {
		e.log.Notice("partition %s grown by %d MiB", disk.RootLabel, grown>>20)
	}
	return err
}

// renewGUIDs gives a disk whose ROOT was never mounted, a copy of the image, GUIDs that no
// other copy has.
func (e *engine) renewGUIDs() error {
	path, err := e.disk.Path(disk.RootLabel)
	if err != nil {
		return err
	}
	if root, err := superblockOf(path); err != nil || !root.neverMounted() {
		return nil // mountRoot says what is wrong with it
	}
	renewed, err := e.disk.Renew(sysfs, disk.RootLabel)
	if renewed {
		e.log.Notice("disk %s and its partitions have new GUIDs", e.disk.Name)
	}
	return err
}

// fail ends a boot that cannot go on: it logs the error, takes the tries from the slot if
// that is the cause, and restarts the machine.
func (e *engine) fail(err error) {
	e.log.Error("%v", err)
	var blame *slotError
	if errors.As(err, &blame) {
		if err := e.store(func(s slot.Store) error { return slot.Fail(s, e.args.Slot, blame.why) }); err != nil {
			e.log.Error("the reason could not be recorded: %v", err)
		}
		e.log.Error("slot %s cannot be used, restarting into the other one", e.args.Slot)
	} else {
		e.log.Error("the machine restarts in %v", pause)
		time.Sleep(pause) // for an operator to read the error
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		e.log.Error("restart: %v", err)
	}
	select {} // process 1 must not end: the kernel would panic, which hides the message
}
