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
	"coreos/internal/boot/verity"
	"coreos/internal/host/disk"
)

const (
	sysroot    = "/sysroot"
	sysfs      = "/sys"
	diskWait   = 60 * time.Second // for the disk to appear
	settleWait = 5 * time.Second  // for the right disk, once a wrong one has appeared
	pause      = 30 * time.Second // for an operator to read the console before the next attempt
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
	disk      disk.Disk
	firstBoot bool // not finished on this root file system
}

// Run boots the machine as process 1 of the initramfs. It returns only if the machine
// cannot be started.
func Run() {
	e := &engine{}
	if err := mountKernelFilesystems(); err != nil {
		fmt.Fprintln(os.Stderr, "bootengine:", err)
	}
	e.log = openConsole()
	err := e.boot()
	e.fail(err)
}

func (e *engine) boot() error {
	arguments, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if e.args, err = cmdline.Parse(string(arguments)); err != nil {
		return fmt.Errorf("kernel command line: %w", err)
	}
	modules, err := kmod.NewLoader("/usr/lib/modules", e.log.Warning)
	if err != nil {
		return fmt.Errorf("kernel modules: %w", err)
	}
	panicked := e.findPanic(modules, string(arguments))
	if err := e.findDisk(modules); err != nil {
		return err
	}
	e.reportFallback(panicked)
	if err := e.growRoot(); err != nil {
		e.log.Warning("%v; going on with the size that it has", err)
	}
	if err := e.mountAll(); err != nil {
		return err
	}
	if err := switchRoot(); err != nil {
		return err
	}
	provisioning := rootfs.Provisioning{Cmdline: string(arguments), FirstBoot: e.firstBoot, Log: e.log}
	if err := provisioning.Provision(context.Background()); err != nil {
		return err
	}
	e.log.Notice("slot %s on disk %s, starting systemd", e.args.Slot, e.disk.Name)
	return startSystemd()
}

// findDisk loads drivers for the devices until the disk with the chosen slot's /usr and the
// other partitions that are needed has appeared.
func (e *engine) findDisk(modules *kmod.Loader) error {
	events, err := disk.Listen()
	if err != nil {
		return err
	}
	defer func() { _ = events.Close() }()
	modules.Load("dm_verity", "erofs", "overlay", "ext4", "qemu_fw_cfg")
	ctx, cancel := context.WithTimeout(context.Background(), diskWait)
	defer cancel()
	var wrong error // why the disks that have appeared cannot be used
	found, err := e.coldplug(modules)
	for !found {
		if err != nil && wrong == nil {
			// The right disk may appear later than a wrong one, such as a copy or a smaller
			// one.
			wrong = err
			ctx, cancel = context.WithTimeout(ctx, settleWait)
			defer cancel()
		}
		event, timeout := events.Next(ctx)
		switch {
		case errors.Is(timeout, context.DeadlineExceeded) && wrong != nil:
			return wrong
		case errors.Is(timeout, context.DeadlineExceeded):
			return fmt.Errorf("no disk with partitions %s and %s after %v: is the disk's controller supported?",
				e.args.Slot.UsrLabel(), disk.RootLabel, diskWait)
		case timeout != nil:
			return timeout
		case len(event) == 0: // events were lost
			found, err = e.coldplug(modules)
		default:
			modules.LoadFor(event["MODALIAS"])
			found, err = e.tryDisks()
		}
	}
	return nil
}

// coldplug loads drivers for the devices that are there already, until the disk has
// appeared.
func (e *engine) coldplug(modules *kmod.Loader) (found bool, err error) {
	walk := modules.Coldplug(sysfs, func() bool {
		found, err = e.tryDisks()
		return found
	})
	if found || walk != nil {
		return found, walk
	}
	return e.tryDisks()
}

// tryDisks looks for the disk among those that have appeared. If several have a copy of the
// image, it takes the first whose /usr is the one that GRUB verified.
func (e *engine) tryDisks() (bool, error) {
	disks, err := disk.List(sysfs)
	if err != nil {
		return false, err
	}
	var wrong error
	for _, d := range disks {
		if !complete(d, e.args.Slot) {
			continue
		}
		e.disk = d
		if wrong = e.checkUsr(); wrong == nil {
			return true, nil
		}
	}
	if wrong == nil {
		if problem := disk.Truncated(sysfs); problem != "" {
			return false, errors.New(problem)
		}
	}
	return false, wrong
}

// complete reports whether all partitions that this boot needs have appeared. The kernel
// adds them one by one.
func complete(d disk.Disk, name slot.Name) bool {
	for _, label := range []string{disk.EFISystemLabel, name.UsrLabel(), disk.OEMLabel, disk.RootLabel} {
		if _, ok := d.Partitions[label]; !ok {
			return false
		}
	}
	return true
}

func (e *engine) checkUsr() error {
	path, err := e.disk.Path(e.args.Slot.UsrLabel())
	if err != nil {
		return err
	}
	partition, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = partition.Close() }()
	if err := e.args.Usr.Check(partition); err != nil {
		why := "usr-read-error"
		if errors.Is(err, verity.ErrMismatch) {
			why = "usr-hash-mismatch"
		}
		return &slotError{why, fmt.Errorf("%s: %w", e.args.Slot.UsrLabel(), err)}
	}
	return nil
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
