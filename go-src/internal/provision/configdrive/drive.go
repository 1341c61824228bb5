// Package configdrive decides whether a volume with the label of a config drive is one.
// Whoever can write a volume can give it that label, so the label alone proves nothing: the
// kind of device, the platform, and what the machine remembers of its first boot decide.
package configdrive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/host/keyvalue"
	"coreos/internal/host/platform"
)

// Link is what udev's rule makes for a drive that Check accepts; MountPoint is where
// media-configdrive.mount mounts it.
const (
	Link       = "/dev/disk/config-drive"
	MountPoint = "/media/configdrive"
)

// Directories of the kernel and of udev.
const (
	sysDir  = "/sys"
	udevDir = "/run/udev/data"
)

// Drive is what identifies a drive from one boot to the next. A program that can write the
// volume, but no other device, cannot choose any of it but the number of the partition.
type Drive struct {
	// Bus is what the drive is connected by, such as "ata" or "virtio".
	Bus string `json:"bus,omitempty"`
	// Serial is the serial number of the device, empty if it has none.
	Serial string `json:"serial,omitempty"`
	// Path is the place of the device in the machine, such as "pci-0000:00:05.0".
	Path string `json:"path,omitempty"`
	// Partition is the number of the partition, empty for a whole device.
	Partition string `json:"partition,omitempty"`
}

func (d Drive) String() string {
	var words []string
	for _, of := range []struct{ name, value string }{
		{"bus", d.Bus}, {"serial", d.Serial}, {"path", d.Path}, {"partition", d.Partition},
	} {
		if of.value != "" {
			words = append(words, of.name+" "+of.value)
		}
	}
	return strings.Join(words, ", ")
}

// is reports whether both are the same drive. A device with a serial number may be in
// another place.
func (d Drive) is(other Drive) bool {
	if d.Serial != "" {
		d.Path, other.Path = "", ""
	}
	return d == other
}

// system is where Drive and kind read.
type system struct{ sys, udev, dmi string }

var machine = system{sysDir, udevDir, platform.DMIDir}

// drive returns the identity of a block device by the properties that udev has for it.
func drive(property func(string) string) Drive {
	d := Drive{Bus: property("ID_BUS"), Serial: property("ID_SERIAL"), Path: property("ID_PATH"), Partition: property("PARTN")}
	if d.Bus == "" && strings.HasPrefix(property("DEVNAME"), "/dev/vd") {
		d.Bus = "virtio"
	}
	return d
}

// ErrKind says that a device cannot be a config drive.
var ErrKind = errors.New("it cannot be a config drive")

// made are the names of devices that the machine itself makes of others, of files, of memory
// or of the network. The kernel has most of them below devices/virtual.
var made = []string{"dm-", "drbd", "loop", "md", "nbd", "ram", "rbd", "rnbd", "ublkb", "zd", "zram"}

// clouds are platforms that have no config drives. Their volumes are their customers' data.
var clouds = []platform.ID{"aliyun", "aws", "azure", "digitalocean", "gcp", "oraclecloud"}

// kind returns ErrKind for a block device that cannot be a config drive, such as "loop0".
func (s system) kind(name string) error {
	if slices.ContainsFunc(made, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		return fmt.Errorf("%w: this machine has made the device", ErrKind)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(s.sys, "class/block", name))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKind, err)
	}
	// The heads of NVMe disks with several paths are virtual, too.
	if strings.Contains(path, "/devices/virtual/") && !strings.Contains(path, "/nvme-subsystem/") {
		return fmt.Errorf("%w: this machine has made the device", ErrKind)
	}
	holders, err := os.ReadDir(filepath.Join(path, "holders"))
	if err == nil && len(holders) > 0 {
		return fmt.Errorf("%w: %s is made of it", ErrKind, holders[0].Name())
	}
	// What the firmware says, not what the image says of its platform: clones of EC2 have
	// config drives.
	if id := platform.Detect("", "", s.dmi); slices.Contains(clouds, id) {
		return fmt.Errorf("%w: the platform %s has none", ErrKind, id)
	}
	return nil
}

// mounted returns the name and the properties of the block device that is mounted on a
// directory.
func (s system) mounted(dir string) (name string, property func(string) string, err error) {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return "", nil, fmt.Errorf("%s: %w", dir, err)
	}
	return s.device(unix.Major(stat.Dev), unix.Minor(stat.Dev))
}

// linked is mounted for the device that a link leads to.
func (s system) linked(link string) (name string, property func(string) string, err error) {
	var stat unix.Stat_t
	if err := unix.Stat(link, &stat); err != nil {
		return "", nil, fmt.Errorf("%s: %w", link, err)
	}
	return s.device(unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
}

func (s system) device(major, minor uint32) (name string, property func(string) string, err error) {
	number := fmt.Sprintf("%d:%d", major, minor)
	path, err := filepath.EvalSymlinks(filepath.Join(s.sys, "dev/block", number))
	if err != nil {
		return "", nil, fmt.Errorf("block device %s: %w", number, err)
	}
	properties, err := s.properties(path, number)
	return filepath.Base(path), func(name string) string { return properties[name] }, err
}

// properties reads the properties of a block device: the kernel's, and those that udev
// found, which its database has as lines E:NAME=value.
func (s system) properties(path, number string) (map[string]string, error) {
	properties := map[string]string{}
	for _, of := range []struct{ file, prefix string }{
		{filepath.Join(path, "uevent"), ""},
		{filepath.Join(s.udev, "b"+number), "E:"},
	} {
		file, err := os.Open(of.file)
		if err != nil {
			return nil, fmt.Errorf("properties of the device: %w", err)
		}
		lines, _ := keyvalue.Read(file, "#") // udev's file has other lines as well
		_ = file.Close()
		for _, line := range lines {
			if name, ok := strings.CutPrefix(line.Name, of.prefix); ok {
				properties[name] = line.Value
			}
		}
	}
	if name := properties["DEVNAME"]; name != "" && !strings.HasPrefix(name, "/dev/") {
		properties["DEVNAME"] = "/dev/" + name
	}
	return properties, nil
}
