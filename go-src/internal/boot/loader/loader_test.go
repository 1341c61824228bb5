package loader

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/boot/fat/fattest"
)

const first = 2048 // sector where BIOS-BOOT begins

// images makes loaders, which differ in each sector.
func images(salt byte) Images {
	fill := func(size int) []byte {
		data := make([]byte, size)
		for n := range data {
			data[n] = byte(n/sector) ^ salt
		}
		return data
	}
	made := Images{BootCode: fill(bootCodeSize), Core: fill(20*sector + 7), EFI: fill(30_000 + int(salt))}
	binary.LittleEndian.PutUint64(made.BootCode[0x5c:], first)
	binary.LittleEndian.PutUint64(made.Core[0x1f4:], first+1)
	return made
}

// partition is a part of a disk.
type partition struct {
	*fattest.Disk
	at int64
}

func (p partition) ReadAt(b []byte, at int64) (int, error)  { return p.Disk.ReadAt(b, at+p.at) }
func (p partition) WriteAt(b []byte, at int64) (int, error) { return p.Disk.WriteAt(b, at+p.at) }

// biosDisk makes a disk as the build does.
func biosDisk(i Images) []byte {
	disk := make([]byte, (first+2048)*sector)
	copy(disk, i.BootCode)
	copy(disk[bootCodeSize:sector], bytes.Repeat([]byte{0xaa}, sector-bootCodeSize))
	copy(disk[first*sector:], i.Core)
	return disk
}

func bios(d *fattest.Disk) BIOS {
	return BIOS{Disk: d, Partition: partition{d, first * sector}, First: first}
}

// booted returns the core image that a BIOS starts from a disk, as boot.img and the core
// image follow the numbers of sectors, with those of the build put back.
func booted(t *testing.T, disk []byte, size int) []byte {
	t.Helper()
	at := binary.LittleEndian.Uint64(disk[0x5c:])
	if at+uint64(size/sector) >= uint64(len(disk)/sector) {
		t.Fatalf("the boot code points to sector %d", at)
	}
	core := bytes.Clone(disk[at*sector:][:size])
	if second := binary.LittleEndian.Uint64(core[0x1f4:]); second != at+1 {
		t.Fatalf("the core image at sector %d points to sector %d", at, second)
	}
	binary.LittleEndian.PutUint64(core[0x1f4:], first+1)
	return core
}

func TestBIOS(t *testing.T) {
	d := fattest.NewDisk(biosDisk(images(1)))
	for salt := byte(1); salt < 5; salt++ {
		i := images(salt)
		if current, err := bios(d).Current(i); err != nil || current != (salt == 1) {
			t.Errorf("before update %d: current is %v, %v", salt, current, err)
		}
		if err := bios(d).Update(i); err != nil {
			t.Fatal(err)
		}
		if current, err := bios(d).Current(i); err != nil || !current {
			t.Errorf("after update %d: current is %v, %v", salt, current, err)
		}
		if !bytes.Equal(booted(t, d.Data, len(i.Core)), i.Core) {
			t.Errorf("after update %d the firmware starts something else", salt)
		}
		if !bytes.Equal(d.Data[bootCodeSize:sector], bytes.Repeat([]byte{0xaa}, sector-bootCodeSize)) {
			t.Errorf("update %d has changed the table of partitions", salt)
		}
	}
}

// TestBIOSPowerCut cuts the power at each write.
func TestBIOSPowerCut(t *testing.T) {
	older, newer := images(1), images(2)
	d := fattest.NewDisk(biosDisk(older))
	if err := bios(d).Update(newer); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for state := range d.Cuts() {
		switch core := booted(t, state, len(older.Core)); {
		case bytes.Equal(core, older.Core):
			found["old"]++
		case bytes.Equal(core, newer.Core):
			found["new"]++
		default:
			t.Fatal("the firmware starts neither the old loader nor the new one")
		}
		again := fattest.NewDisk(state)
		if err := bios(again).Update(newer); err != nil {
			t.Fatal(err)
		}
		if current, err := bios(again).Current(newer); err != nil || !current {
			t.Fatalf("after another attempt: current is %v, %v", current, err)
		}
	}
	if found["old"] < 10 || found["new"] < 1 {
		t.Errorf("found %v: the power was hardly cut", found)
	}
}

func TestBIOSRefuses(t *testing.T) {
	disk := biosDisk(images(1))
	binary.LittleEndian.PutUint64(disk[0x5c:], 63)
	d := fattest.NewDisk(disk)
	if err := bios(d).Update(images(2)); err == nil || !strings.Contains(err.Error(), "points to sector 63") {
		t.Errorf("boot code of another system: %v", err)
	}
	if !bytes.Equal(d.Data, disk) {
		t.Error("it was changed all the same")
	}
}

func TestUEFI(t *testing.T) {
	d := fattest.NewDisk(fattest.Volume(t, images(1).EFI))
	u := UEFI{d}
	newer := images(2)
	if current, err := u.Current(newer); err != nil || current {
		t.Errorf("before: current is %v, %v", current, err)
	}
	if err := u.Update(newer); err != nil {
		t.Fatal(err)
	}
	if current, err := u.Current(newer); err != nil || !current {
		t.Errorf("after: current is %v, %v", current, err)
	}
	if got := fattest.Read(t, d.Data, "EFI/BOOT/BOOTX64.EFI"); !bytes.Equal(got, newer.EFI) {
		t.Error("mtools finds another loader")
	}
	if err := (UEFI{fattest.NewDisk(make([]byte, 1<<20))}).Update(newer); err == nil || !strings.Contains(err.Error(), "EFI system partition") {
		t.Errorf("no FAT32: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	want := images(1)
	for name, data := range map[string][]byte{"boot.img": want.BootCode, "core.img": want.Core, "bootx64.efi": want.EFI} {
		if _, err := Load(dir); err == nil {
			t.Errorf("without %s: no error", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(dir)
	if err != nil || !bytes.Equal(got.Core, want.Core) || !bytes.Equal(got.EFI, want.EFI) || !bytes.Equal(got.BootCode, want.BootCode) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "core.img"), make([]byte, half+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a core image of more than half of BIOS-BOOT is taken")
	}
}
