package disk

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/siderolabs/go-blockdevice/v2/block"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
	"golang.org/x/sys/unix"
)

// growStep is the growth that is worth rewriting the partition table for, in
// bytes: an alignment remainder at the end of the disk is not.
const growStep = 4 << 20

// Grow extends the labelled partition to the end of the disk, moves the backup
// partition table there and tells the kernel. It returns by how many bytes the
// partition grew, 0 where there was no room.
func (d Disk) Grow(sys, label string) (uint64, error) {
	number, err := d.PartitionNumber(sys, label)
	if err != nil {
		return 0, err
	}
	device, err := block.NewFromPath("/dev/"+d.Name, block.OpenForWrite())
	if err != nil {
		return 0, fmt.Errorf("open disk %s: %w", d.Name, err)
	}
	defer func() { _ = device.Close() }()
	target, err := gpt.DeviceFromBlockDevice(device)
	if err != nil {
		return 0, fmt.Errorf("disk %s: %w", d.Name, err)
	}
	grown, err := growPartition(target, number-1)
	if err != nil {
		return 0, fmt.Errorf("grow partition %s of disk %s: %w", label, d.Name, err)
	}
	return grown, nil
}

// growPartition grows the partition with the index (from 0). A primary table
// that a power cut left half written is restored from the backup first.
func growPartition(target gpt.Device, index int) (uint64, error) {
	device := &safeDevice{Device: target}
	device.hidden = device.backupHeader()
	table, err := gpt.Read(device, gpt.WithSkipPMBR())
	if err != nil {
		if table, err = restorePrimary(device); err != nil {
			return 0, err
		}
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

// restorePrimary writes the primary table anew from the backup, without touching
// the backup: until the end of that it is the only table.
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

// roomBehind returns by how many bytes a partition can grow: by none if another
// lies anywhere behind it, since the library takes partitions to be numbered in
// the order of their places.
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

// safeDevice makes writing a partition table safe against a power cut: the
// library writes the primary table first, which for a moment leaves none that is
// whole. Here the writes wait for Sync and go out from the end of the disk to its
// start, each on the disk before the next: first all of the backup, then the
// primary table. The kernel falls back to the backup by its parameter "gpt".
type safeDevice struct {
	gpt.Device
	hidden     int64 // offset of the header that reads as if it were empty
	keepBackup bool  // do not write in the half of the disk with the backup table
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

// KernelPartitionDelete refuses, which makes the library resize the partitions
// where they are: one that is removed and added again has lost its label in sysfs.
func (d *safeDevice) KernelPartitionDelete(int) error { return unix.EBUSY }

func (d *safeDevice) WriteAt(b []byte, offset int64) (int, error) {
	if d.keepBackup && offset > int64(d.GetSize()/2) {
		return len(b), nil
	}
	d.waiting = append(d.waiting, write{offset, slices.Clone(b)})
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
