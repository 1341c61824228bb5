package slot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/grubenv/grubenvtest"
)

func TestOnPartition(t *testing.T) {
	block, err := env("A B", "2 0", "0 0").Format()
	if err != nil {
		t.Fatal(err)
	}
	path := grubenvtest.File(t, block)
	if err := OnPartition(path, func(s Store) error { return MarkGood(s, A) }); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := grubenv.Parse(image[grubenvtest.GrubenvOffset:][:grubenv.Size])
	if err != nil {
		t.Fatal(err)
	}
	if got["A_TRIES"] != "3" || got["A_OK"] != "1" {
		t.Errorf("the partition has %q", got)
	}
}

func TestOnPartitionErrors(t *testing.T) {
	if err := OnPartition(filepath.Join(t.TempDir(), "vda1"), func(Store) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing partition: %v", err)
	}
	wrong := errors.New("wrong")
	path := grubenvtest.File(t, make([]byte, grubenv.Size))
	if err := OnPartition(path, func(Store) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("got error %v, want %v", err, wrong)
	}
}

func TestReadRecord(t *testing.T) {
	tests := []struct {
		name, text string
		slot       Name
		disk       string
		wantErr    string
	}{
		{"as bootengine writes it", "SLOT=B\nDISK=vda\n", B, "vda", ""},
		{"more lines", "# x\nDISK=nvme0n1\nSLOT=A\nNEW=1\n", A, "nvme0n1", ""},
		{"empty", "", "", "", `no slot ""`},
		{"other slot", "SLOT=C\nDISK=vda\n", "", "", `no slot "C"`},
		{"endless line", strings.Repeat("x", 1<<20), "", "", "too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "boot")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			slot, disk, err := readRecord(path)
			if slot != test.slot || disk != test.disk {
				t.Errorf("got slot %q of disk %q", slot, disk)
			}
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("got error %v, want one with %q", err, test.wantErr)
			}
		})
	}
	if _, _, err := readRecord(filepath.Join(t.TempDir(), "boot")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing record: %v", err)
	}
}
