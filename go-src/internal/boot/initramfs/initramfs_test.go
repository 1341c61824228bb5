package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

func TestComplete(t *testing.T) {
	all := []string{"EFI-SYSTEM", "BOOT-A", "USR-A", "OEM", "ROOT"}
	without := func(missing string) disk.Disk {
		d := disk.Disk{Name: "vda", Partitions: map[string]string{}}
		for i, label := range all {
			if label != missing {
				d.Partitions[label] = fmt.Sprint("vda", i)
			}
		}
		return d
	}
	for missing, want := range map[string]bool{
		"": true, "BOOT-A": true, "EFI-SYSTEM": false, "USR-A": false, "OEM": false, "ROOT": false,
	} {
		if got := complete(without(missing), slot.A); got != want {
			t.Errorf("without %q: complete is %v", missing, got)
		}
	}
	if complete(without(""), slot.B) {
		t.Error("complete without the chosen slot's /usr")
	}
}

func TestSlotError(t *testing.T) {
	err := fmt.Errorf("boot: %w", &slotError{"usr-mount", fmt.Errorf("mount: %w", fs.ErrInvalid)})
	var blame *slotError
	if !errors.As(err, &blame) || blame.why != "usr-mount" || !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("got %#v", blame)
	}
	if err.Error() != "boot: mount: invalid argument" {
		t.Errorf("got %q", err)
	}
}

func TestCheckUsrNeedsPartition(t *testing.T) {
	e := engine{args: cmdline.Args{Slot: slot.A}, disk: disk.Disk{Name: "gone", Partitions: map[string]string{"USR-A": "gone/gone4"}}}
	var blame *slotError
	if err := e.checkUsr(); !errors.Is(err, fs.ErrNotExist) || errors.As(err, &blame) {
		t.Errorf("a disk that has left is not the slot's fault: %v", err)
	}
	e.disk.Partitions = nil
	if err := e.checkUsr(); err == nil || errors.As(err, &blame) {
		t.Errorf("got error %v", err)
	}
}
