package disk

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/siderolabs/go-blockdevice/v2/block"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
	"golang.org/x/sys/unix"
)

// growStep is the least growth in bytes for which the partition table is rewritten. A
// remainder that alignment leaves at the end of the disk is smaller.
const growStep = 4 << 20

// Grow extends the partition with a label to the end of the disk, moves the backup
// partition table there and informs the kernel. It returns the growth in bytes, 0 if there
// is no room.
func (d Disk) Grow(sys, label string) (grown uint64, err error) {
	err = d.change(sys, label, func(target gpt.Device, index int) error {
		grown, err = growPartition(target, index)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("grow partition %s of disk %s: %w", label, d.Name, err)
	}
	return grown, nil
}

// change calls f with the disk and the index (from 0) of the partition with a label.
func (d Disk) change(sys, label string, f func(target gpt.Device, index int) error) error {
	number, err := d.PartitionNumber(sys, label)
	if err != nil {
		return err
	}
	device, err := block.NewFromPath("/dev/"+d.Name, block.OpenForWrite())
	if err != nil {
		return fmt.Errorf("open disk %s: %w", d.Name, err)
	}
	defer func() { _ = device.Close() }()
	target, err := gpt.DeviceFromBlockDevice(device)
	if err != nil {
		return err
	}
	return f(target, number-1)
}

// growPartition grows the partition with an index (from 0).
func growPartition(target gpt.Device, index int) (uint64, error) {
	table, _, err := readTable(target)
	if err != nil {
		return 0, err
	}
	room, err := roomBehind(table, index)
	if err != nil || room < growStep {
		return 0, err
	}
	if err := table.GrowPartition(index, room); err != nil {
		return 0, err
	}
	return room, table.Write()
}

// readTable reads the partition table of a disk, and returns the device that it is written
// to. If a power cut left the primary table incomplete, it is restored from the backup
// first.
func readTable(target gpt.Device) (*gpt.Table, *safeDevice, error) {
	device := &safeDevice{Device: target}
	device.hidden = device.backupHeader()
	table, err := gpt.Read(device, gpt.WithSkipPMBR())
	if err != nil {
		table, err = restorePrimary(device)
	}
	return table, device, err
}

// restorePrimary restores the primary table from the backup. It does not change the backup,
// which is the only valid table until the end.
func restorePrimary(device *safeDevice) (*gpt.Table, error) {
	device.hidden = device.primaryHeader()
	table, err := gpt.Read(device, gpt.WithSkipPMBR())
	if err != nil {
		return nil, fmt.Errorf("neither the primary partition table nor the backup is valid: %w", err)
	}
	device.keepBackup = true
	if err := table.Write(); err != nil {
		return nil, fmt.Errorf("restore the primary partition table: %w", err)
	}
	device.keepBackup = false
	return table, nil
}

// roomBehind returns by how many bytes a partition can grow. It returns 0 if another
// partition is anywhere after it, since the library assumes that partitions are numbered in
// the order of their positions.
func roomBehind(table *gpt.Table, index int) (uint64, error) {
	room, err := table.AvailablePartitionGrowth(index)
	if err != nil {
		return 0, err
	}
	partitions := table.Partitions()
	for _, p := range partitions {
		if p != nil && p.FirstLBA > partitions[index].LastLBA {
			return 0, nil
		}
	}
	return room, nil
}

// safeDevice makes writing a partition table safe against a power cut. The library writes
// the primary table first, so that for a moment no table is valid. safeDevice holds the
// writes back until Sync and then writes from the end of the disk to its start, each
// synchronously: first the whole backup, then the primary table. The kernel uses the backup
// if its parameter "gpt" is given.
type safeDevice struct {
	gpt.Device
	hidden     int64      // offset of the header that is read as zeros
	keepBackup bool       // do not write to the half of the disk that has the backup table
	guid       *uuid.UUID // of the disk, for the headers that are written; nil to keep it
	waiting    []write
}

type write struct {
	offset int64
	data   []byte
}

func (d *safeDevice) primaryHeader() int64 { return int64(d.GetSectorSize()) }

func (d *safeDevice) backupHeader() int64 {
	sector := int64(d.GetSectorSize())
	return (int64(d.GetSize())/sector - 1) * sector
}

func (d *safeDevice) ReadAt(b []byte, offset int64) (int, error) {
	if offset == d.hidden {
		clear(b)
		return len(b), nil
	}
	return d.Device.ReadAt(b, offset)
}

// KernelPartitionDelete fails, so that the library resizes partitions in place: a partition
// that is deleted and added again loses its label in sysfs.
func (d *safeDevice) KernelPartitionDelete(int) error { return unix.EBUSY }

func (d *safeDevice) WriteAt(b []byte, offset int64) (int, error) {
	if d.keepBackup && offset > int64(d.GetSize()/2) {
		return len(b), nil
	}
	b = slices.Clone(b)
	if d.guid != nil && (offset == d.primaryHeader() || offset == d.backupHeader()) {
		setGUID(b, *d.guid)
	}
	d.waiting = append(d.waiting, write{offset, b})
	return len(b), nil
}

func (d *safeDevice) Sync() error {
	slices.SortFunc(d.waiting, func(a, b write) int { return cmp.Compare(b.offset, a.offset) })
	for _, w := range d.waiting {
		if _, err := d.Device.WriteAt(w.data, w.offset); err != nil {
			return err
		}
		if err := d.Device.Sync(); err != nil {
			return err
		}
	}
	d.waiting = nil
	return nil
}
