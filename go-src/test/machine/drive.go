package machine

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Drive is a disk that is attached to a machine in QEMU.
type Drive struct {
	Disk *Disk
	Bus  Bus // Virtio
}

// drives returns the arguments for the disks of a machine: its own, from which its firmware
// boots, and the others that the kernel finds before or after it.
func (c *Config) drives() (args []string) {
	number := 0
	add := func(drive Drive, id string) {
		args = append(args, drive.args(id, number)...)
		number++
	}
	for i, drive := range c.Before {
		add(drive, fmt.Sprintf("before%d", i))
	}
	add(Drive{c.Disk, c.Bus}, "disk")
	args[len(args)-1] += ",bootindex=0"
	for i, drive := range c.After {
		add(drive, fmt.Sprintf("after%d", i))
	}
	return args
}

// file is the disk as QEMU's option -drive has it. The disk does not have to outlive a crash
// of the host, so the cache need not sync.
func (d *Disk) file(id string) string {
	return "if=none,id=" + id + ",format=qcow2,cache=unsafe,file=" + d.Path
}

// args returns the arguments for a drive, the device last. number is that of the drive in
// its machine.
func (d Drive) args(id string, number int) []string {
	device := "virtio-blk-pci,drive=" + id
	switch d.Bus {
	case SATA:
		device = fmt.Sprintf("ide-hd,drive=%s,bus=ide.%d", id, number)
	case NVMe:
		device = fmt.Sprintf("nvme,drive=%s,serial=coreos%d", id, number)
	}
	return []string{"-drive", d.Disk.file(id), "-device", device}
}

// HotPlug are arguments for a machine to which Insert can attach disks.
var HotPlug = []string{"-device", "virtio-scsi-pci,id=hotplug"}

// Insert attaches a disk to a running machine that was started with HotPlug.
func (m *Machine) Insert(disk *Disk) error {
	q, err := m.qemu()
	if err != nil {
		return err
	}
	id := strings.TrimSuffix(filepath.Base(disk.Path), ".qcow2")
	for _, line := range []string{
		"drive_add 0 " + disk.file(id),
		"device_add scsi-hd,bus=hotplug.0,drive=" + id + ",id=" + id + "-disk",
	} {
		out, err := q.humanCommand(line)
		if err != nil {
			return err
		}
		if out = strings.TrimSpace(out); out != "" && out != "OK" {
			return fmt.Errorf("%s: %s", line, out)
		}
	}
	return nil
}
