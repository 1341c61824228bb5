// Package booted describes the running machine: which slot it runs, from which disk, and
// the boot state of both slots.
package booted

import (
	"fmt"
	"io"

	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

const sysfs = "/sys"

// Machine is the running slot and its disk.
type Machine struct {
	Running slot.Name
	disk    disk.Disk
}

// Open returns the running machine.
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

// RunningSlot returns the running slot.
func (m *Machine) RunningSlot() slot.Name { return m.Running }

// OpenPartition opens a partition of the boot disk by its label. flag is a flag of
// os.OpenFile.
func (m *Machine) OpenPartition(label string, flag int) (*disk.Partition, error) {
	path, err := m.disk.Path(label)
	if err != nil {
		return nil, err
	}
	return disk.OpenPartition(path, flag)
}

// Keep makes the running slot the next to boot.
func (m *Machine) Keep() error {
	return m.Change(func(s slot.Store) error { return slot.SetNext(s, m.Running) })
}

// Change calls f with the store of the boot state.
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

// Slots returns reports on both slots.
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
