package grubenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/boot/grubenv/grubenvtest"
)

func TestLocate(t *testing.T) {
	offset, err := Locate(bytes.NewReader(grubenvtest.Image(block("a=1\n"))))
	if err != nil {
		t.Fatal(err)
	}
	if offset != grubenvtest.GrubenvOffset {
		t.Errorf("found at %d, want %d", offset, grubenvtest.GrubenvOffset)
	}
}

func TestLocateRejects(t *testing.T) {
	le := binary.LittleEndian
	tests := []struct {
		name   string
		damage func(image []byte) []byte
		want   string // part of the error
	}{
		{"nothing", func([]byte) []byte { return nil }, "EOF"},
		{"zeros", func(b []byte) []byte { clear(b); return b }, "not a FAT32 volume"},
		{"no boot signature", func(b []byte) []byte { b[510] = 0; return b }, "not a FAT32 volume"},
		{"sectors of 4096 bytes", func(b []byte) []byte { le.PutUint16(b[11:], 4096); return b }, "not a FAT32 volume"},
		{"FAT16", func(b []byte) []byte { le.PutUint16(b[22:], 1); return b }, "not a FAT32 volume"},
		{"clusters of no sectors", func(b []byte) []byte { b[13] = 0; return b }, "not a FAT32 volume"},
		{"clusters of one sector", func(b []byte) []byte { b[13] = 1; return b }, "smaller than the environment block"},
		{"tables fill the volume", func(b []byte) []byte { le.PutUint32(b[36:], 1<<31); return b }, "has no data area"},
		{"root directory outside", func(b []byte) []byte { le.PutUint32(b[44:], 1<<20); return b }, "no file /grubenv"},
		{"root directory is cluster 0", func(b []byte) []byte { le.PutUint32(b[44:], 0); return b }, "no file /grubenv"},
		{"other name", func(b []byte) []byte { grubenvtest.Entry(b)[0] = 'X'; return b }, "no file /grubenv"},
		{"a directory", func(b []byte) []byte { grubenvtest.Entry(b)[11] = 0x10; return b }, "no file /grubenv"},
		{"a volume label", func(b []byte) []byte { grubenvtest.Entry(b)[11] = 0x08; return b }, "no file /grubenv"},
		{"end of the directory before it", func(b []byte) []byte { grubenvtest.Cluster(b, 2)[0] = 0; return b }, "no file /grubenv"},
		{"too short", func(b []byte) []byte { le.PutUint32(grubenvtest.Entry(b)[28:], 1023); return b }, "1023 bytes instead of 1024"},
		{"outside the volume", func(b []byte) []byte { le.PutUint16(grubenvtest.Entry(b)[26:], 34); return b }, "cluster 34 is outside"},
		{"in no cluster", func(b []byte) []byte { le.PutUint16(grubenvtest.Entry(b)[26:], 0); return b }, "cluster 0 is outside"},
		{"cut off", func(b []byte) []byte { return b[:40*512] }, "EOF"},
		{"root directory in a circle", func(b []byte) []byte {
			grubenvtest.Entry(b)[0] = 'X'
			tail := grubenvtest.Cluster(b, 9)
			for i := 0; i < len(tail); i += 32 {
				tail[i] = 'X'
			}
			le.PutUint32(b[32*512+9*4:], 2)
			return b
		}, "no file /grubenv"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Locate(bytes.NewReader(test.damage(grubenvtest.Image(block("a=1\n")))))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestLocateInLastCluster(t *testing.T) {
	image := grubenvtest.Image(block("a=1\n"))
	binary.LittleEndian.PutUint16(grubenvtest.Entry(image)[26:], 33)
	offset, err := Locate(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(len(image) - Size); offset != want {
		t.Errorf("found at %d, want %d", offset, want)
	}
}

type brokenReader struct{}

func (brokenReader) ReadAt([]byte, int64) (int, error) { return 0, os.ErrPermission }

func TestLocateReportsReadErrors(t *testing.T) {
	if _, err := Locate(brokenReader{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got error %v, want %v", err, os.ErrPermission)
	}
}

// TestLocateInRealVolume makes the volume with the commands of
// board/coreos/make-loader.sh.
func TestLocateInRealVolume(t *testing.T) {
	for _, tool := range []string{"mkfs.vfat", "mcopy", "mmd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	volume, grubenv, loader := filepath.Join(dir, "efi.img"), filepath.Join(dir, "grubenv"), filepath.Join(dir, "bootx64.efi")
	want := block("ORDER=A B\nA_TRIES=3\n")
	for path, content := range map[string][]byte{volume: nil, grubenv: want, loader: make([]byte, 100_000)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(volume, 128<<20); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		command := exec.Command(name, args...)
		command.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "TZ=UTC")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("mkfs.vfat", "-F", "32", "-s", "2", "-n", "EFI-SYSTEM", "-i", "c05e0001", "--invariant", volume)
	run("mcopy", "-m", "-i", volume, grubenv, "::GRUBENV")
	run("mmd", "-i", volume, "::EFI", "::EFI/BOOT")
	run("mcopy", "-m", "-i", volume, loader, "::EFI/BOOT/BOOTX64.EFI")

	device, err := Open(volume)
	if err != nil {
		t.Fatal(err)
	}
	env, err := device.Read()
	if err != nil {
		t.Fatal(err)
	}
	if env["ORDER"] != "A B" || env["A_TRIES"] != "3" {
		t.Errorf("read %q", env)
	}
	env["A_TRIES"] = "2"
	if err := errors.Join(device.Write(env), device.Close()); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy")
	run("mcopy", "-i", volume, "::GRUBENV", copied)
	got, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if want := block("A_TRIES=2\nORDER=A B\n"); !bytes.Equal(got, want) {
		t.Errorf("mcopy finds %q, want %q", got, want)
	}
}

func FuzzLocate(f *testing.F) {
	image := grubenvtest.Image(block("a=1\n"))
	f.Add(image[:512], image[34*512:35*512], uint32(9))
	f.Add(make([]byte, 512), make([]byte, 32), uint32(0))
	f.Fuzz(func(t *testing.T, boot, root []byte, next uint32) {
		image := grubenvtest.Image(block("a=1\n"))
		copy(image[:512], boot)
		copy(grubenvtest.Cluster(image, 2), root)
		binary.LittleEndian.PutUint32(image[32*512+2*4:], next)
		offset, err := Locate(bytes.NewReader(image))
		if err != nil {
			return
		}
		if offset < 512 || offset%512 != 0 {
			t.Errorf("environment block at %d", offset)
		}
		_, err = bytes.NewReader(image).ReadAt(make([]byte, Size), offset)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}
