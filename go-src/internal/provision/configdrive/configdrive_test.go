package configdrive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"coreos/internal/host/treetest"
	"coreos/internal/provision/datasource"
)

// properties are those that udev has for a device, as NAME=value.
func properties(of ...string) func(string) string {
	return func(name string) string {
		for _, property := range of {
			if value, ok := strings.CutPrefix(property, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

var (
	cd    = []string{"DEVNAME=/dev/sr0", "ID_BUS=ata", "ID_SERIAL=QEMU_DVD-ROM_QM00003", "ID_PATH=pci-0000:00:1f.2-ata-2"}
	blank = []string{"DEVNAME=/dev/vdb", "ID_PATH=pci-0000:00:05.0"}
	named = []string{"DEVNAME=/dev/vdb", "ID_PATH=pci-0000:00:05.0", "ID_SERIAL=data"}
)

// fake is a machine with these devices, each a path below /sys/devices, and firmware.
func fake(t *testing.T, vendor string, devices ...string) Machine {
	t.Helper()
	dir := t.TempDir()
	treetest.Write(t, dir, map[string]string{"dmi/sys_vendor": vendor + "\n"})
	for _, device := range devices {
		treetest.Write(t, dir, map[string]string{filepath.Join("sys/devices", device, "uevent"): "DEVTYPE=disk\nDEVNAME=" + filepath.Base(device) + "\n"})
		link(t, filepath.Join(dir, "sys/devices", device), filepath.Join(dir, "sys/class/block", filepath.Base(device)))
	}
	return Machine{filepath.Join(dir, "var/config-drive.json"), system{filepath.Join(dir, "sys"), filepath.Join(dir, "udev"), filepath.Join(dir, "dmi")}}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

// mount makes the device the one that is mounted on the directory that it returns.
func (m Machine) mount(t *testing.T, device string, of []string) string {
	t.Helper()
	dir := t.TempDir()
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	path := filepath.Join(m.system.sys, "dev/block", number)
	_ = os.Remove(path)
	link(t, filepath.Join(m.system.sys, "devices", device), path)
	treetest.Write(t, m.system.udev, map[string]string{"b" + number: "S:disk/by-label/CONFIG-2\nE:" + strings.Join(of, "\nE:") + "\nV:1\n"})
	return dir
}

func TestKindOfDevice(t *testing.T) {
	for _, test := range []struct {
		device, vendor string
		ok             bool
	}{
		{"pci0/ata1/block/sr0", "QEMU", true},
		{"pci0/virtio2/block/vdb", "QEMU", true},
		{"pci0/usb1/block/sdb/sdb1", "Dell Inc.", true},
		{"virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "", true},
		{"pci0/virtio2/block/vdb", "Amazon EC2", false},
		{"pci0/virtio2/block/vdb", "OpenStack Foundation", true},
		{"virtual/block/loop0", "", false},
		{"virtual/block/dm-3", "", false},
		{"virtual/block/md127", "", false},
		{"virtual/block/loop0/loop0p1", "", false},
		{"virtual/block/another0", "", false},
		{"rbd/0/block/rbd0", "", false},
		{"pci0/virtio2/block/held", "", false},
	} {
		m := fake(t, test.vendor, test.device)
		name := filepath.Base(test.device)
		if name == "held" {
			treetest.Write(t, filepath.Join(m.system.sys, "devices", test.device, "holders"), map[string]string{"dm-0": ""})
		}
		if err := m.Check(name, properties(blank...)); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrKind) {
			t.Errorf("%s of %q: %v", test.device, test.vendor, err)
		}
	}
	if err := fake(t, "").Check("vdz", properties()); !errors.Is(err, ErrKind) {
		t.Errorf("a device that is gone: %v", err)
	}
}

func TestOnlyTheFirstDrive(t *testing.T) {
	const optical, disk = "pci0/ata1/block/sr0", "pci0/virtio2/block/vdb"
	for name, test := range map[string]struct {
		first    string // device, "" for none
		of       []string
		instance string
		then     string
		thenOf   []string
		again    string
		ok       bool
	}{
		"the same":                 {optical, cd, "i-1", optical, cd, "i-1", true},
		"the same, with no id":     {disk, blank, "", disk, blank, "", true},
		"another instance":         {optical, cd, "i-1", optical, cd, "i-2", false},
		"another disk":             {optical, cd, "i-1", disk, named, "i-1", false},
		"a disk in its place":      {disk, blank, "i-1", disk, named, "i-1", false},
		"without its serial":       {disk, named, "i-1", disk, blank, "i-1", false},
		"elsewhere":                {disk, blank, "i-1", disk, []string{"DEVNAME=/dev/vdb", "ID_PATH=pci-0000:00:06.0"}, "i-1", false},
		"its serial, elsewhere":    {disk, named, "i-1", disk, []string{"DEVNAME=/dev/vdc", "ID_PATH=pci-0000:00:06.0", "ID_SERIAL=data"}, "i-1", true},
		"a partition of it":        {disk, named, "i-1", disk, append([]string{"PARTN=1"}, named...), "i-1", false},
		"a drive where there none": {"", nil, "", disk, named, "i-1", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := fake(t, "QEMU", optical, disk)
			if test.first == "" {
				if record, err := m.Seal(filepath.Join(t.TempDir(), "none")); err != nil || record.Drive != nil {
					t.Fatalf("seal: %v, %v", record, err)
				}
			} else {
				dir := m.mount(t, test.first, test.of)
				if err := errors.Join(m.CheckMounted(dir, test.instance), m.Remember(dir, test.instance)); err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.ReadFile(m.Record)
			if err != nil {
				t.Fatal(err)
			}
			dir := m.mount(t, test.then, test.thenOf)
			err = m.CheckMounted(dir, test.again)
			if (err == nil) != test.ok || err != nil && !errors.Is(err, ErrOther) {
				t.Errorf("then: %v", err)
			}
			if _, err := m.Seal(filepath.Join(t.TempDir(), "none")); err != nil {
				t.Error(err)
			}
			if after, err := os.ReadFile(m.Record); err != nil || string(after) != string(before) {
				t.Errorf("the record became %s", after)
			}
		})
	}
}

// TestSealedDrive has the drive found before it is read.
func TestSealedDrive(t *testing.T) {
	m := fake(t, "QEMU", "pci0/virtio2/block/vdb")
	dir := m.mount(t, "pci0/virtio2/block/vdb", named)
	d := drive(properties(named...))
	if err := (Record{Drive: &d}).write(m.Record); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.CheckMounted(dir, "i-1"), m.Remember(dir, "i-1")); err != nil {
		t.Fatal(err)
	}
	if err := m.CheckMounted(dir, "i-2"); !errors.Is(err, ErrOther) {
		t.Errorf("another instance: %v", err)
	}
}

// TestRecordIsNotReplaced has the drive read while its sealing is under way.
func TestRecordIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "of", "the machine", "config-drive.json")
	d, instance := drive(properties(named...)), "i-1"
	if err := (Record{}).create(path); err != nil {
		t.Fatal(err)
	}
	if err := (Record{&d, &instance}).write(path); err != nil {
		t.Fatal(err)
	}
	if err := (Record{Drive: &d}).create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create: %v", err)
	}
	record, err := Read(path)
	if err != nil || record == nil || record.Instance == nil || *record.Instance != instance {
		t.Errorf("the record became %v, %v", record, err)
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(files) != 1 {
		t.Errorf("files: %q", files)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
}

// TestDamagedRecord must not make every drive the machine's.
func TestDamagedRecord(t *testing.T) {
	m := fake(t, "QEMU", "pci0/virtio2/block/vdb")
	treetest.Write(t, filepath.Dir(m.Record), map[string]string{"config-drive.json": "{"})
	if err := m.Check("vdb", properties(blank...)); err == nil {
		t.Error("a record that cannot be read permits a drive")
	}
	if _, err := m.Seal(Link); err == nil {
		t.Error("a record that cannot be read is sealed")
	}
}

// answer is a source that has an answer for an instance.
type answer string

func (answer) Name() string { return "config drive" }

func (a answer) Fetch(context.Context) (*datasource.Data, error) {
	return &datasource.Data{Metadata: datasource.Metadata{Instance: string(a)}}, nil
}

func TestGuard(t *testing.T) {
	m := fake(t, "QEMU", "pci0/virtio2/block/vdb", "pci0/ata1/block/sr0")
	dir := m.mount(t, "pci0/ata1/block/sr0", cd)
	// Looking at a configuration does not make the drive the machine's.
	for _, instance := range []answer{"i-1", "i-2"} {
		if _, err := m.Guard(instance, dir).Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	data, err := m.Guard(answer("i-1"), dir).Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Accept(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Guard(answer("i-1"), dir).Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		device   string
		of       []string
		instance answer
	}{{"pci0/ata1/block/sr0", cd, "i-2"}, {"pci0/virtio2/block/vdb", named, "i-1"}} {
		dir := m.mount(t, test.device, test.of)
		if _, err := m.Guard(test.instance, dir).Fetch(t.Context()); !errors.Is(err, datasource.ErrInvalid) || !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", test.device, err)
		}
	}
}
