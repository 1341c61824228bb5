package initramfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"coreos/internal/boot/kmod"
	"coreos/internal/boot/slot"
	"coreos/internal/boot/verity"
	"coreos/internal/host/disk"
)

const (
	diskWait   = 60 * time.Second // for the disk to appear
	settleWait = 5 * time.Second  // for the right disk, once a wrong one has appeared
)

// findDisk loads drivers for the devices until the disk that GRUB booted from has appeared,
// with the chosen slot's /usr and the other partitions that are needed.
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
		if err != nil && e.decided(err) {
			return err
		}
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
			return e.noDisk()
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

// errSeveral says that GRUB's disk cannot be told from a copy.
var errSeveral = errors.New("all have the stamp of this boot, so the disk that GRUB booted from cannot be told from its copies: detach all but one")

// decided reports whether no disk that appears later can change an error.
func (e *engine) decided(err error) bool {
	var blame *slotError
	return errors.Is(err, errSeveral) || e.args.Stamp != "" && errors.As(err, &blame)
}

func (e *engine) noDisk() error {
	if len(e.copies) > 0 {
		return fmt.Errorf("the disk that GRUB booted from has not appeared within %v: is its controller supported? Copies of the system, which this boot is not from, are on: %s",
			diskWait, diskNames(e.copies))
	}
	return fmt.Errorf("no disk with partitions %s and %s after %v: is the disk's controller supported?",
		e.args.Slot.UsrLabel(), disk.RootLabel, diskWait)
}

// warnOfCopies names the disks that could be the machine's as well, if GRUB does not say
// which one it used.
func (e *engine) warnOfCopies() {
	if e.args.Stamp == "" && len(e.copies) > 0 {
		e.log.Warning("the boot loader does not say which disk it booted from: using %s, though the system is on %s, too; detach all but one", e.disk.Name, diskNames(e.copies))
	}
}

func diskNames(disks []disk.Disk) string {
	var words []string
	for _, d := range disks {
		words = append(words, d.Name)
	}
	return strings.Join(words, ", ")
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

// tryDisks looks for the disk among those that have appeared. An error says why those that
// could be it are not.
func (e *engine) tryDisks() (bool, error) {
	disks, err := disk.List(sysfs)
	if err != nil {
		return false, err
	}
	candidates, err := e.candidates(disks, readStamp)
	if err != nil {
		return false, err
	}
	var wrong error
	for i, d := range candidates {
		e.disk = d
		if wrong = e.checkUsr(); wrong == nil {
			e.copies = append(e.copies, candidates[i+1:]...)
			return true, nil
		}
	}
	if len(candidates) == 0 && len(e.copies) == 0 {
		if problem := disk.Truncated(sysfs); problem != "" {
			return false, errors.New(problem)
		}
	}
	return false, wrong
}

// candidates returns the disks that GRUB may have booted from, and keeps the others that
// have the system as copies. GRUB has just given its disk a new stamp, which no copy has. A
// disk that is connected by several paths has several names.
func (e *engine) candidates(disks []disk.Disk, stamp func(disk.Disk) string) (from []disk.Disk, err error) {
	e.copies = nil
	for _, d := range disks {
		switch {
		case !complete(d, e.args.Slot):
		case e.args.Stamp == "" || e.args.Stamp == stamp(d):
			from = append(from, d)
		default:
			e.copies = append(e.copies, d)
		}
	}
	if e.args.Stamp == "" || len(from) < 2 {
		return from, nil
	}
	for _, d := range from[1:] {
		if d.ID == "" || d.ID != from[0].ID {
			return nil, fmt.Errorf("%s: %w", diskNames(from), errSeveral)
		}
	}
	return from[:1], nil
}

// readStamp returns the stamp of a disk, "" if it cannot be read (yet): the kernel makes the
// device nodes of partitions one by one.
func readStamp(d disk.Disk) (stamp string) {
	path, err := d.Path(disk.EFISystemLabel)
	if err != nil {
		return ""
	}
	_ = slot.OnPartition(path, func(s slot.Store) error {
		stamp, err = slot.Stamp(s)
		return err
	})
	return stamp
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
