// Package disk finds the system's partitions by their GPT labels, and grows the last one to
// the end of its disk.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/host/keyvalue"
)

// Labels of the partitions that belong to no slot.
const (
	BIOSBootLabel  = "BIOS-BOOT"
	EFISystemLabel = "EFI-SYSTEM"
	OEMLabel       = "OEM"
	RootLabel      = "ROOT"
)

// Disk is a block device with partitions.
type Disk struct {
	Name       string            // of the device, such as "vda"
	Partitions map[string]string // device names by label, such as "ROOT": "vda8"
	ID         string            // worldwide name or serial number of the device, "" if it has none
}

// Path returns the device node of the partition with a label.
func (d Disk) Path(label string) (string, error) {
	name, ok := d.Partitions[label]
	if !ok {
		return "", fmt.Errorf("disk %s has no partition %s", d.Name, label)
	}
	return "/dev/" + name, nil
}

// List returns the disks of the machine, sorted by name, each with its labelled partitions.
// sys is the mount point of sysfs.
func List(sys string) ([]Disk, error) {
	names, err := filepath.Glob(filepath.Join(sys, "block", "*"))
	if err != nil {
		return nil, err
	}
	disks := make([]Disk, 0, len(names))
	for _, path := range names {
		d := Disk{Name: filepath.Base(path), Partitions: map[string]string{}, ID: identity(path)}
		events, err := filepath.Glob(filepath.Join(path, d.Name+"*", "uevent"))
		if err != nil {
			return nil, err
		}
		for _, event := range events {
			properties, err := keyvalue.Properties(event)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				continue // the device was removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			if label := properties["PARTNAME"]; label != "" {
				d.Partitions[label] = properties["DEVNAME"]
			}
		}
		disks = append(disks, d)
	}
	slices.SortFunc(disks, func(a, b Disk) int { return strings.Compare(a.Name, b.Name) })
	return disks, nil
}

// identity returns what the kernel knows of the identity of the disk at a path in sysfs: the
// same for all paths to the same disk.
func identity(path string) string {
	for _, name := range []string{"wwid", "device/wwid"} { // of NVMe, of SCSI
		if text, err := os.ReadFile(filepath.Join(path, name)); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	return ""
}

// PartitionNumber returns the number of the partition with a label.
func (d Disk) PartitionNumber(sys, label string) (int, error) {
	return d.attribute(sys, label, "partition")
}

// PartitionStart returns where the partition with a label begins, in sectors of 512 bytes.
func (d Disk) PartitionStart(sys, label string) (int, error) {
	return d.attribute(sys, label, "start")
}

func (d Disk) attribute(sys, label, attribute string) (int, error) {
	name, ok := d.Partitions[label]
	if !ok {
		return 0, fmt.Errorf("disk %s has no partition %s", d.Name, label)
	}
	text, err := os.ReadFile(filepath.Join(sys, "class/block", name, attribute))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
