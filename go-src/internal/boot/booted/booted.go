// Package booted is the machine that we run on, as seen from its slots: which one
// runs, from which disk, and what the boot loader knows of both.
package booted

import (
	"fmt"
	"io"

	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

const sysfs = "/sys"

// Machine is the running system's slot and disk.
type Machine struct {
	Running slot.Name
	disk    disk.Disk
}

// Open finds out what the system runs from.
func Open() (*Machine, error) {
	running, name, err := slot.Running()
	if err != nil {
		return nil, err
	}
	disks, err := disk.List(sysfs)
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		if d.Name == name {
			return &Machine{Running: running, disk: d}, nil
		}
	}
	return nil, fmt.Errorf("the disk that the system was booted from, %s, is gone", name)
}

// OpenPartition opens the partition with a label on the disk that the system runs from;
// flag is that of os.OpenFile.
func (m *Machine) OpenPartition(label string, flag int) (*disk.Partition, error) {
	path, err := m.disk.Path(label)
	if err != nil {
		return nil, err
	}
	return disk.OpenPartition(path, flag)
}

// Keep makes the running slot the next again.
func (m *Machine) Keep() error {
	return m.Change(func(s slot.Store) error { return slot.SetNext(s, m.Running) })
}

// Change runs f on the boot state.
func (m *Machine) Change(f func(slot.Store) error) error {
	path, err := m.disk.Path(disk.EFISystemLabel)
	if err != nil {
		return err
	}
	return slot.OnPartition(path, f)
}

// States returns the boot state.
func (m *Machine) States() (states slot.States, err error) {
	err = m.Change(func(s slot.Store) error {
		states, err = slot.Load(s)
		return err
	})
	return states, err
}

// Slots describes both slots.
func (m *Machine) Slots() ([]slot.Report, error) {
	states, err := m.States()
	if err != nil {
		return nil, err
	}
	return slot.Inspect(states, m.Running, func(n slot.Name) (io.ReadCloser, error) {
		path, err := m.disk.Path(n.BootLabel())
		if err != nil {
			return nil, err
		}
		return slot.OpenDevice(path)
	}), nil
}
