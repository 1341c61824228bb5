package blackbox

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"coreos/internal/boot/grubenv"
	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "disk-copies", Machines: 1, Limit: 10 * time.Minute,
		Does: "a machine uses the disk that its boot loader is on, with copies before and after it, and one that is inserted later",
		Run:  diskCopies,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "disk-larger-copy", Machines: 1, Limit: 8 * time.Minute,
		Does: "a disk is replaced by a larger copy, while the old one is still there: ROOT grows, the old disk does not change",
		Run:  diskLargerCopy,
	})
}

// diskName is a disk as the kernel names it.
type diskName string

// partition is the name of a partition of the disk.
func (d diskName) partition(number int) string {
	if strings.HasPrefix(string(d), "nvme") {
		return fmt.Sprintf("/dev/%sp%d", d, number)
	}
	return fmt.Sprintf("/dev/%s%d", d, number)
}

// usesDisk checks that all that a machine uses is on a disk, and leaves a mark in the disk's
// environment block.
func usesDisk(t *suite.T, m *machine.Machine, disk diskName, mark string) {
	t.Helper()
	usesLinks(t, m, disk)
	t.Equal("record of the boot, ROOT, OEM and /usr", t.Run(m, "echo $(sed -n s/DISK=//p /run/coreos/boot; findmnt -no SOURCE /; findmnt -no SOURCE /oem; ls /sys/block/dm-0/slaves) && slotctl bad B --why "+mark),
		fmt.Sprintf("%s %s %s %s", disk, disk.partition(8), disk.partition(7), strings.TrimPrefix(disk.partition(4), "/dev/")))
}

// usesLinks checks the names of partitions that several disks have.
func usesLinks(t *suite.T, m *machine.Machine, disk diskName) {
	t.Helper()
	var links, want []string
	for _, of := range []struct {
		link      string
		partition int
	}{
		{"by-partlabel/EFI-SYSTEM", 1}, {"by-partlabel/BOOT-A", 3}, {"by-partlabel/USR-A", 4}, {"by-partlabel/BOOT-B", 5},
		{"by-partlabel/OEM", 7}, {"by-partlabel/ROOT", 8}, {"by-label/ROOT", 8}, {"by-label/OEM", 7},
		{"by-uuid/c05e0000-0000-4000-8000-000000000008", 8},
	} {
		links = append(links, of.link)
		want = append(want, of.link+" "+disk.partition(of.partition))
	}
	t.Equal("names of partitions", t.Run(m, "udevadm settle && cd /dev/disk && for l in "+strings.Join(links, " ")+"; do echo $l $(readlink -f $l); done"),
		strings.Join(want, "\n"))
}

// isMarked checks the environment blocks of disks after a boot from the first of them.
func isMarked(t *suite.T, used *machine.Disk, mark string, copied *machine.Disk, before grubenv.Env) {
	t.Helper()
	env := readEnv(t, used)
	if env["A_TRIES"] != "3" || env["A_OK"] != "1" || env["B_WHY"] != mark {
		t.Errorf("the disk that was booted has %q, want tries, success and the reason %s", env, mark)
	}
	if after := readEnv(t, copied); !maps.Equal(after, before) {
		t.Errorf("the copy's block was %q, is %q", before, after)
	}
}

// diskCopies boots three times.
func diskCopies(t *suite.T) {
	// Two disks with the image, neither of which was ever booted.
	own, twin := t.Disk("own"), t.Disk("twin")
	before := readEnv(t, twin)
	m := t.Start(machine.Config{Name: "new-second", Disk: own, Before: []machine.Drive{{Disk: twin}}})
	healthy(t, m)
	usesDisk(t, m, "vdb", "first")
	poweroff(t, m)
	isMarked(t, own, "first", twin, before)

	// A copy of the disk that was booted, with a name before its own, and one that comes later.
	twin, stick := mustCopy(t, own, "copy"), mustCopy(t, own, "stick")
	before = readEnv(t, twin)
	if before["STAMP"] == "" || before["STAMP"] != readEnv(t, own)["STAMP"] {
		t.Errorf("GRUB has left the stamps %q and %q", before["STAMP"], readEnv(t, own)["STAMP"])
	}
	m = t.Start(machine.Config{Name: "first-virtio", Disk: own, After: []machine.Drive{{Disk: twin, Bus: machine.NVMe}}, Args: machine.HotPlug})
	healthy(t, m)
	usesDisk(t, m, "vda", "second")
	t.Must(m.Insert(stick))
	t.Run(m, "udevadm wait --timeout=60 /dev/sda8")
	usesLinks(t, m, "vda")
	usesDisk(t, m, "vda", "third")
	poweroff(t, m)
	isMarked(t, own, "third", twin, before)

	// The firmware boots the copy instead.
	before = readEnv(t, own)
	m = t.Start(machine.Config{Name: "copy", Disk: twin, Bus: machine.NVMe, Before: []machine.Drive{{Disk: own}}})
	healthy(t, m)
	usesDisk(t, m, "nvme0n1", "fourth")
	if out := t.Run(m, "dmesg | grep 'bootengine: .*GUID' || true"); out != "" {
		t.Errorf("a disk that was in use got new GUIDs: %s", out)
	}
	poweroff(t, m)
	isMarked(t, twin, "fourth", own, before)
}

func mustCopy(t *suite.T, disk *machine.Disk, name string) *machine.Disk {
	t.Helper()
	copied, err := disk.Copy(t.Dir, name)
	t.Must(err)
	return copied
}

func diskLargerCopy(t *suite.T) {
	const gib = 1 << 30
	old := t.Disk("old") // of 16 GiB
	m := t.Start(machine.Config{Name: "old", Disk: old})
	healthy(t, m)
	t.Shows(m, "bootengine: disk vda and its partitions have new GUIDs")
	links := t.Run(m, "ls /dev/disk/by-partuuid")
	if strings.Contains(links, "c05e") || strings.Count(links, "-") != 8*4 {
		t.Errorf("the names by GUID are:\n%s", links)
	}
	t.Run(m, "echo kept >/root/kept")
	size := blocks(t, m)
	poweroff(t, m)

	larger := mustCopy(t, old, "larger")
	t.Must(larger.Enlarge(20 * gib))
	before := readEnv(t, old)
	root, err := old.Partition("ROOT")
	t.Must(err)
	start := func(name string) *machine.Machine {
		m := t.Start(machine.Config{Name: name, Disk: larger, Before: []machine.Drive{{Disk: old}}})
		healthy(t, m)
		t.Equal("file on ROOT", t.Run(m, "cat /root/kept"), "kept")
		usesDisk(t, m, "vdb", name)
		return m
	}
	m = start("larger")
	if grown := blocks(t, m) - size; grown < 39*gib/10 || grown > 4*gib {
		t.Errorf("ROOT has grown by %d bytes on a disk with 4 GiB more", grown)
	}
	t.Equal("names by GUID", t.Run(m, "ls /dev/disk/by-partuuid"), links)
	poweroff(t, m)
	isMarked(t, larger, "larger", old, before)
	backup, err := larger.Read(20*gib-512, 8)
	t.Must(err)
	t.Equal("start of the last sector", string(backup), "EFI PART")
	left, err := old.Partition("ROOT")
	t.Must(err)
	if left != root {
		t.Errorf("ROOT of the old disk was %v, is %v", root, left)
	}

	m = start("again")
	if out := t.Run(m, "dmesg"); strings.Contains(out, "grown by") || strings.Contains(out, "vdb: GPT") || strings.Contains(out, "GPT:Alternate") {
		t.Errorf("the partition table is not settled:\n%s", out)
	}
}

// blocks returns the size of ROOT in bytes.
func blocks(t *suite.T, m *machine.Machine) (size int64) {
	t.Helper()
	_, err := fmt.Sscan(t.Run(m, "blockdev --getsize64 $(findmnt -no SOURCE /)"), &size)
	t.Must(err)
	return size
}
