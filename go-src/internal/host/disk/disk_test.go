package disk

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coreos/internal/host/treetest"
)

// makeSysfs makes as much of sysfs as the package reads.
func makeSysfs(t *testing.T) string {
	t.Helper()
	return treetest.Dir(t, map[string]string{
		"block/vdb/uevent":                "DEVNAME=vdb\nDEVTYPE=disk\n",
		"block/vdb/vdb1/uevent":           "DEVNAME=vdb1\nDEVTYPE=partition\nPARTN=1\n",
		"block/nvme0n1/uevent":            "DEVNAME=nvme0n1\nDEVTYPE=disk\n",
		"block/nvme0n1/nvme0n1p1/uevent":  "MAJOR=259\nDEVNAME=nvme0n1p1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=EFI-SYSTEM\n",
		"block/nvme0n1/nvme0n1p8/uevent":  "DEVNAME=nvme0n1p8\nPARTN=8\nPARTNAME=ROOT\n",
		"block/nvme0n1/nvme0n1p9/uevent":  "DEVNAME=nvme0n1p9\nPARTNAME=a=b c\n",
		"block/nvme0n1/queue/uevent":      "PARTNAME=OEM\n",
		"block/loop0/size":                "0\n",
		"block/nvme0n1/wwid":              "nvme.1\n",
		"block/sda/device/wwid":           "t10.ATA     QEMU HARDDISK  QM00001 \n",
		"class/block/nvme0n1p8/partition": "8\n",
		"class/block/nvme0n1p9/partition": "nine\n",
	})
}

func TestList(t *testing.T) {
	disks, err := List(makeSysfs(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []Disk{
		{Name: "loop0"},
		{Name: "nvme0n1", Partitions: map[string]string{"EFI-SYSTEM": "nvme0n1p1", "ROOT": "nvme0n1p8", "a=b c": "nvme0n1p9"}, ID: "nvme.1"},
		{Name: "sda", ID: "t10.ATA     QEMU HARDDISK  QM00001"},
		{Name: "vdb"},
	}
	if !slices.EqualFunc(disks, want, func(a, b Disk) bool {
		return a.Name == b.Name && a.ID == b.ID && maps.Equal(a.Partitions, b.Partitions)
	}) {
		t.Errorf("got %v, want %v", disks, want)
	}
}

func TestListWithoutDisks(t *testing.T) {
	if disks, err := List(t.TempDir()); len(disks) != 0 || err != nil {
		t.Errorf("got %v, %v", disks, err)
	}
}

func TestListPassesOverLeavingDevices(t *testing.T) {
	sys := makeSysfs(t)
	event := filepath.Join(sys, "block/nvme0n1/nvme0n1p1/uevent")
	if err := errors.Join(os.Remove(event), os.Symlink("gone", event)); err != nil {
		t.Fatal(err)
	}
	disks, err := List(sys)
	if err != nil {
		t.Fatal(err)
	}
	if got := disks[1].Partitions; got["EFI-SYSTEM"] != "" || got["ROOT"] != "nvme0n1p8" {
		t.Errorf("got %v", got)
	}
}

func TestListReportsErrors(t *testing.T) {
	sys := makeSysfs(t)
	writeFile(t, filepath.Join(sys, "block/nvme0n1/nvme0n1p1/uevent"), strings.Repeat("x", 1<<17))
	if disks, err := List(sys); err == nil {
		t.Errorf("got %v, want an error", disks)
	}
}

func TestPath(t *testing.T) {
	d := Disk{Name: "vda", Partitions: map[string]string{"ROOT": "vda8"}}
	if path, err := d.Path(RootLabel); path != "/dev/vda8" || err != nil {
		t.Errorf("got %q, %v", path, err)
	}
	if path, err := d.Path(OEMLabel); path != "" || err == nil || err.Error() != "disk vda has no partition OEM" {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestPartitionNumber(t *testing.T) {
	sys := makeSysfs(t)
	d := Disk{Name: "nvme0n1", Partitions: map[string]string{"ROOT": "nvme0n1p8", "ODD": "nvme0n1p9", "GONE": "nvme0n1p7"}}
	if n, err := d.PartitionNumber(sys, "ROOT"); n != 8 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for _, label := range []string{"ODD", "GONE", "OTHER"} {
		if n, err := d.PartitionNumber(sys, label); err == nil {
			t.Errorf("%s: got %d, want an error", label, n)
		}
	}
}
