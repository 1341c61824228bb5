package initramfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

// TestCandidates has disks as the kernel lists them, each with its stamp.
func TestCandidates(t *testing.T) {
	type device struct {
		name, stamp, id string
		other           bool // no system's disk
	}
	for name, test := range map[string]struct {
		stamp  string // of the boot
		disks  []device
		from   string
		copies string
		err    error
	}{
		"one disk":                           {"2", []device{{name: "vda", stamp: "2"}}, "vda", "", nil},
		"a copy before it":                   {"2", []device{{name: "vda", stamp: "1"}, {name: "vdb", stamp: "2"}}, "vdb", "vda", nil},
		"a copy after it":                    {"2", []device{{name: "vda", stamp: "2"}, {name: "vdb", stamp: "1"}}, "vda", "vdb", nil},
		"an unused image before it":          {"2", []device{{name: "nvme0n1"}, {name: "sda", stamp: "2"}}, "sda", "nvme0n1", nil},
		"a copy alone":                       {"2", []device{{name: "vda", stamp: "1"}}, "", "vda", nil},
		"another disk":                       {"2", []device{{name: "vda", stamp: "2", other: true}, {name: "vdb", stamp: "2"}}, "vdb", "", nil},
		"two with the stamp":                 {"2", []device{{name: "vda", stamp: "2"}, {name: "vdb", stamp: "2"}}, "", "", errSeveral},
		"two paths to it":                    {"2", []device{{"sda", "2", "naa.1", false}, {"sdb", "2", "naa.1", false}}, "sda", "", nil},
		"two disks with names of their own":  {"2", []device{{"sda", "2", "naa.1", false}, {"sdb", "2", "naa.2", false}}, "", "", errSeveral},
		"a GRUB without stamps":              {"", []device{{name: "vda", stamp: "1"}, {name: "vdb"}}, "vda, vdb", "", nil},
		"a GRUB without stamps, and no disk": {"", []device{{name: "vda", other: true}}, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var disks []disk.Disk
			stamps := map[string]string{}
			for _, d := range test.disks {
				partitions := map[string]string{"EFI-SYSTEM": d.name + "1", "USR-A": d.name + "4", "OEM": d.name + "7", "ROOT": d.name + "8"}
				if d.other {
					delete(partitions, "OEM")
				}
				disks = append(disks, disk.Disk{Name: d.name, Partitions: partitions, ID: d.id})
				stamps[d.name] = d.stamp
			}
			e := &engine{args: cmdline.Args{Slot: slot.A, Stamp: test.stamp}}
			from, err := e.candidates(disks, func(d disk.Disk) string { return stamps[d.Name] })
			if !errors.Is(err, test.err) || diskNames(from) != test.from || diskNames(e.copies) != test.copies {
				t.Errorf("from %q, copies %q, error %v", diskNames(from), diskNames(e.copies), err)
			}
		})
	}
}

func TestDecided(t *testing.T) {
	blame := &slotError{"usr-hash-mismatch", errors.New("no match")}
	for _, test := range []struct {
		stamp string
		err   error
		want  bool
	}{
		{"", blame, false}, // a copy may have the right hash
		{"2", blame, true},
		{"2", errSeveral, true},
		{"2", os.ErrNotExist, false}, // the device node comes later
	} {
		e := &engine{args: cmdline.Args{Stamp: test.stamp}}
		if got := e.decided(test.err); got != test.want {
			t.Errorf("stamp %q, %v: decided is %v", test.stamp, test.err, got)
		}
	}
}

func TestNoDisk(t *testing.T) {
	e := &engine{args: cmdline.Args{Slot: slot.B}}
	if err := e.noDisk(); !strings.Contains(err.Error(), "no disk with partitions USR-B and ROOT") {
		t.Error(err)
	}
	e.copies = []disk.Disk{{Name: "vda"}, {Name: "vdb"}}
	if err := e.noDisk(); !strings.Contains(err.Error(), "are on: vda, vdb") {
		t.Error(err)
	}
}

func TestRecord(t *testing.T) {
	root := t.TempDir()
	e := &engine{args: cmdline.Args{Slot: slot.B}, disk: disk.Disk{Name: "nvme0n1"}}
	if err := e.record(root); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		slot.BootRecord: "SLOT=B\nDISK=nvme0n1\n",
		linksRule:       "\nSUBSYSTEM==\"block\", KERNELS==\"nvme0n1\", OPTIONS+=\"link_priority=100\"\n",
	} {
		if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || !strings.HasSuffix(string(got), want) {
			t.Errorf("%s has %q, %v", path, got, err)
		}
	}
}
