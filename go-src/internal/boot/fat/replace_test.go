package fat

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"coreos/internal/boot/fat/fattest"
)

const (
	name  = "EFI/BOOT/BOOTX64.EFI"
	older = 30_000
)

func content(size int, salt byte) []byte {
	data := make([]byte, size)
	for n := range data {
		data[n] = byte(n>>9) ^ byte(n) ^ salt
	}
	return data
}

func find(t *testing.T, d *fattest.Disk) (*Volume, File) {
	t.Helper()
	v, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.Find("EFI        ", "BOOT       ", "BOOTX64 EFI")
	if err != nil {
		t.Fatal(err)
	}
	return v, f
}

// TestReplace replaces a file by others, and compares with what mtools and fsck.vfat find.
func TestReplace(t *testing.T) {
	first := content(older, 1)
	d := fattest.NewDisk(fattest.Volume(t, first))
	for n, size := range []int{older, 1, 511, 512, 513, 300_000, 2} {
		v, f := find(t, d)
		want := content(size, byte(n+2))
		if err := v.Replace(d, f, want); err != nil {
			t.Fatal(err)
		}
		v, f = find(t, d)
		if got, err := v.Read(f); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read back %d, %v", size, len(got), err)
		}
		if got := fattest.Read(t, d.Data, name); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: mtools finds %d others", size, len(got))
		}
		if got := fattest.Read(t, d.Data, "OTHER"); !bytes.Equal(got, first) {
			t.Errorf("%d bytes: another file has changed", size)
		}
		fattest.Check(t, d.Data)
	}
}

// TestReplacePowerCut cuts the power at each write of a replacement. The file has to be the
// old one or the new one, the other file as before, and the next attempt has to succeed.
func TestReplacePowerCut(t *testing.T) {
	first, second := content(older, 1), content(older+5000, 2)
	d := fattest.NewDisk(fattest.Volume(t, first))
	v, f := find(t, d)
	if err := v.Replace(d, f, second); err != nil {
		t.Fatal(err)
	}
	states, old, new := 0, 0, 0
	for state := range d.Cuts() {
		states++
		again := fattest.NewDisk(state)
		v, f := find(t, again)
		got, err := v.Read(f)
		switch {
		case err != nil:
			t.Fatal(err)
		case bytes.Equal(got, first):
			old++
		case bytes.Equal(got, second):
			new++
		default:
			t.Fatalf("state %d: neither the old file nor the new one", states)
		}
		if other, err := v.Find("OTHER      "); err != nil {
			t.Fatal(err)
		} else if data, err := v.Read(other); err != nil || !bytes.Equal(data, first) {
			t.Fatalf("state %d: another file has changed: %v", states, err)
		}
		if err := v.Replace(again, f, second); err != nil {
			t.Fatal(err)
		}
		v, f = find(t, again)
		if got, err := v.Read(f); err != nil || !bytes.Equal(got, second) {
			t.Fatalf("state %d: another attempt: %v", states, err)
		}
		if states%16 == 0 && !bytes.Equal(fattest.Read(t, again.Data, name), second) {
			t.Fatalf("state %d: after another attempt, mtools finds something else", states)
		}
	}
	t.Logf("%d states: %d with the old file, %d with the new one", states, old, new)
	if old < 10 || new < 2 {
		t.Errorf("%d states with the old file and %d with the new one: the power was hardly cut", old, new)
	}
}

func TestReplaceRefuses(t *testing.T) {
	d := fattest.NewDisk(fattest.Volume(t, content(older, 1)))
	v, f := find(t, d)
	for size, want := range map[int]string{0: "0 bytes", 35 << 20: "no room"} {
		if err := v.Replace(d, f, make([]byte, size)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q", size, err, want)
		}
	}
	if _, err := v.Find("EFI        ", "NONE       ", "BOOTX64 EFI"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := v.Find("EFI        ", "BOOT       "); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: %v", err)
	}
}

// forgetful is a disk that does not keep what is written.
type forgetful struct{ *fattest.Disk }

func (forgetful) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

func TestReplaceOnBadDisk(t *testing.T) {
	d := fattest.NewDisk(fattest.Volume(t, content(older, 1)))
	v, f := find(t, d)
	if err := v.Replace(forgetful{d}, f, content(older, 2)); err == nil || !strings.Contains(err.Error(), "does not keep") {
		t.Errorf("got %v", err)
	}
}

func FuzzFind(f *testing.F) {
	volume := make([]byte, 64<<10)
	f.Add([]byte{0xeb}, volume[:64], uint32(3))
	f.Fuzz(func(t *testing.T, boot, dir []byte, next uint32) {
		image := bytes.Clone(volume)
		copy(image, boot)
		image[510], image[511] = 0x55, 0xaa
		copy(image[32<<9:], dir)
		v, err := Open(bytes.NewReader(image))
		if err != nil {
			return
		}
		file, err := v.Find("EFI        ", "BOOT       ", "BOOTX64 EFI")
		if err != nil {
			return
		}
		file.Size = next
		_, _ = v.Read(file)
	})
}
