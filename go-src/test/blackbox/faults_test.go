package blackbox

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/slot"
	"coreos/internal/boot/verity"
	"coreos/test/machine"
	"coreos/test/suite"
)

// Each fault is in slot A of a machine with two good slots. The machine has to run B in the end,
// with the reason in slotctl's output and in the journal.
func init() {
	for _, member := range []string{bootimage.Kernel, bootimage.Initramfs, bootimage.Config} {
		why := map[string]string{bootimage.Kernel: "kernel", bootimage.Initramfs: "initramfs", bootimage.Config: "command-line"}[member]
		registerFault("fault-"+why, "a flipped bit in "+member, 6*time.Minute, fault{
			damage:  func(t *suite.T, disk *machine.Disk) { flipInBoot(t, disk, slot.A, member) },
			console: "Slot A cannot be booted: its " + why,
			why:     "boot-" + why,
		})
	}
	registerFault("fault-usr-data", "a flipped bit in a block of /usr that the boot reads", 6*time.Minute, fault{
		damage:  flipInSystemd,
		tries:   2,
		console: `device-mapper: verity: .*data block \d+ is corrupted`,
		why:     "panic:dm-verity-device-corrupted",
	})
	registerFault("fault-hash-tree", "a flipped bit in a leaf of the hash tree, under UEFI, whose variables keep the panic", 6*time.Minute, fault{
		uefi:    true,
		damage:  flipInTree,
		tries:   1,
		console: `device-mapper: verity: .*metadata block \d+ is corrupted`,
		why:     "panic:dm-verity-device-corrupted",
	})
	registerFault("fault-usr-zero", "a /usr of zeros", 6*time.Minute, fault{
		damage:  zeroUsr,
		console: "bootengine: USR-A: the hash tree does not match the root hash",
		why:     "usr-hash-mismatch",
	})
	registerFault("fault-panic", "an initramfs that panics, three times", 6*time.Minute, fault{
		damage:  panickingInitramfs,
		signs:   true,
		tries:   3,
		console: "(?s)(Kernel panic - not syncing: No working init.*){3}",
		why:     slot.NoTrace, // too early to keep one
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "fault-health", Needs: suite.Slots, Machines: 1, Limit: 15 * time.Minute,
		Does: "a new slot whose health check fails three times",
		Run:  failingHealth,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "fault-both", Needs: suite.Slots, Machines: 1, Limit: 3 * time.Minute,
		Does: "both slots bad: the console says so, and again after the restart",
		Run:  bothBad,
	})
}

type fault struct {
	uefi    bool
	damage  func(*suite.T, *machine.Disk)
	signs   bool   // damage signs files with the build's key
	tries   int    // of slot A before, 3 where it is 0
	console string // pattern that the console shows on the way
	why     string // reason for slot A in slotctl and in the journal
}

func registerFault(name, does string, limit time.Duration, f fault) {
	needs := suite.Slots
	if f.signs {
		needs = signedSlots
	}
	suite.Register(suite.Test{Suite: suite.Smoke, Name: name, Does: does, Needs: needs, Machines: 1, Limit: limit, Run: func(t *suite.T) {
		disk := twoSlots(t)
		if f.tries != 0 {
			setEnv(t, disk, map[string]string{"A_TRIES": strconv.Itoa(f.tries)})
		}
		f.damage(t, disk)
		config := machine.Config{Disk: disk, KeepsMemory: true}
		if f.uefi {
			config = machine.Config{Disk: disk, Firmware: machine.UEFI}
		}
		m := t.Start(config)
		for _, line := range []string{
			f.console,
			"CoreOS [^,]*, slot B",
			"bootengine: slot A is out of tries: " + f.why, // the kernel's log, so in the journal, too
		} {
			t.Shows(m, line)
		}
		healthy(t, m) // which gives slot B its try back
		m.Cut()
		states := decode(t, disk)
		if got, want := states.Slots[slot.B], (slot.State{Tries: slot.MaxTries, OK: true}); got != want {
			t.Errorf("slot B: got %+v, want %+v", got, want)
		}
		if got, want := states.Slots[slot.A], (slot.State{OK: true, Why: f.why}); got != want {
			t.Errorf("slot A: got %+v, want %+v", got, want)
		}
	}})
}

// flipInBoot changes a bit in the middle of a member of the slot's boot image.
func flipInBoot(t *suite.T, disk *machine.Disk, name slot.Name, member string) {
	t.Helper()
	extent, err := disk.Partition(name.BootLabel())
	t.Must(err)
	image, err := os.Open(t.Env.ImageFile("coreos_production_boot.img"))
	t.Must(err)
	defer func() { _ = image.Close() }()
	archive := tar.NewReader(image)
	for {
		header, err := archive.Next()
		t.Must(err)
		if header.Name == member {
			offset, err := image.Seek(0, io.SeekCurrent)
			t.Must(err)
			t.Must(disk.Flip(extent.Offset + offset + header.Size/2))
			return
		}
	}
}

// flipInSystemd changes a bit of systemd's own binary, in a block that holds
// nothing else.
func flipInSystemd(t *suite.T, disk *machine.Disk) {
	t.Helper()
	out, err := exec.Command("dump.erofs", "--path=/lib/systemd/systemd", "-e", t.Env.ImageFile("coreos_production_usr.img")).Output()
	t.Must(err)
	// "   0:       0..  102400 |  102400 :   123456.. 225856 |  102400"
	extent := regexp.MustCompile(`(?m)^\s*0:.*\|.*:\s*(\d+)\.\.`).FindSubmatch(out)
	if extent == nil {
		t.Fatalf("dump.erofs shows no extent:\n%s", out)
	}
	at, err := strconv.ParseInt(string(extent[1]), 10, 64)
	t.Must(err)
	usr, err := disk.Partition(slot.A.UsrLabel())
	t.Must(err)
	t.Must(disk.Flip(usr.Offset + at + 100))
}

// flipInTree changes a bit in the leaf of the hash tree that covers the first
// blocks of /usr. The levels lie one after the other, the top first.
func flipInTree(t *suite.T, disk *machine.Disk) {
	t.Helper()
	const hashesPerBlock = verity.BlockSize / sha256.Size
	blocks := usrBlocks(t)
	start, level := blocks+1, blocks
	for level = (level + hashesPerBlock - 1) / hashesPerBlock; level > 1; {
		level = (level + hashesPerBlock - 1) / hashesPerBlock
		start += level
	}
	usr, err := disk.Partition(slot.A.UsrLabel())
	t.Must(err)
	t.Must(disk.Flip(usr.Offset + start*verity.BlockSize + 5))
}

// usrBlocks returns the number of data blocks of the image's /usr.
func usrBlocks(t *suite.T) int64 {
	t.Helper()
	image, err := os.Open(t.Env.ImageFile("coreos_production_boot.img"))
	t.Must(err)
	defer func() { _ = image.Close() }()
	info, err := bootimage.ReadInfo(image)
	t.Must(err)
	match := regexp.MustCompile(`coreos\.usrblocks=(\d+)`).FindStringSubmatch(info.Cmdline)
	if match == nil {
		t.Fatalf("no coreos.usrblocks in %q", info.Cmdline)
	}
	blocks, err := strconv.ParseInt(match[1], 10, 64)
	t.Must(err)
	return blocks
}

func zeroUsr(t *suite.T, disk *machine.Disk) {
	t.Helper()
	usr, err := disk.Partition(slot.A.UsrLabel())
	t.Must(err)
	t.Must(disk.Zero(usr.Offset, usr.Size/2))
	t.Must(disk.Zero(usr.Offset+usr.Size/2, usr.Size/2))
}

// panickingInitramfs gives slot A a boot image, signed with the build's key, whose
// /init ends at once.
func panickingInitramfs(t *suite.T, disk *machine.Disk) {
	t.Helper()
	members := unpackBoot(t, t.Env.ImageFile("coreos_production_boot.img"))
	members[bootimage.Initramfs] = newcArchive("init", []byte("#!/nonexistent\n"))
	members[bootimage.Sums] = sumsOf(members)
	writeBoot(t, disk, slot.A, members)
}

// newcArchive makes a cpio archive (format newc) with one executable file.
func newcArchive(name string, data []byte) []byte {
	var b bytes.Buffer
	add := func(name string, mode int, data []byte) {
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
		b.Write(make([]byte, (4-b.Len()%4)%4))
		b.Write(data)
		b.Write(make([]byte, (4-b.Len()%4)%4))
	}
	add(name, 0o100755, data)
	add("TRAILER!!!", 0, nil)
	return b.Bytes()
}

func failingHealth(t *suite.T) {
	m := running(t)
	// The operator's own check, which only slot B fails; the one that takes long
	// is none of this test's business.
	t.Run(m, `printf '#!/bin/sh\n! grep SLOT=B /run/coreos/boot || { echo no good; exit 1; }\n' >/etc/coreos/health.d/00-not-b &&
		chmod +x /etc/coreos/health.d/00-not-b && ln -s /dev/null /etc/coreos/health.d/20-container-runtime && slotctl check && slotctl bad B && slotctl next B && sync`)
	mark := m.Console.Mark()
	t.Must(m.Reboot(t.Context))
	t.ShowsAfter(m, mark, "(?s)(CoreOS [^,]*, slot B.*){3}CoreOS [^,]*, slot A")
	m.Restarts()
	healthy(t, m)
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	b := slots(t, m)["B"]
	t.Equal("reason", b.Why, "unhealthy:00-not-b")
	if b.Tries != 0 || b.OK {
		t.Errorf("slot B has %d tries, proven %v", b.Tries, b.OK)
	}
	log := t.Run(m, "journalctl --no-pager -u slot-health.service")
	if n := strings.Count(log, "health check 00-not-b failed"); n != 3 {
		t.Errorf("the journal has the failed check %d times, want 3", n)
	}
}

func bothBad(t *suite.T) {
	disk := twoSlots(t)
	flipInBoot(t, disk, slot.A, bootimage.Kernel)
	flipInBoot(t, disk, slot.B, bootimage.Kernel)
	m := t.Start(machine.Config{Disk: disk})
	t.Shows(m, "NO SLOT CAN BE BOOTED")
	mark := m.Console.Mark()
	t.Must(m.Reset())
	t.ShowsAfter(m, mark, "(?s)No slot has tries left.*NO SLOT CAN BE BOOTED")
}
