package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// makeSuperblock makes the start of an ext4 file system.
func makeSuperblock(blocks uint64, logBlockSize, incompat uint32) []byte {
	b := make([]byte, 2048)
	le := binary.LittleEndian
	le.PutUint32(b[1024+0x4:], uint32(blocks))
	le.PutUint32(b[1024+0x18:], logBlockSize)
	le.PutUint16(b[1024+0x38:], 0xef53)
	le.PutUint32(b[1024+0x60:], incompat)
	le.PutUint32(b[1024+0x150:], uint32(blocks>>32))
	return b
}

func TestBlocksToGrow(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name   string
		device []byte
		size   int64
		want   uint64
	}{
		{"fits", makeSuperblock(gib/4096, 2, 0x2c2), gib, 0},
		{"less than a block more", makeSuperblock(gib/4096, 2, 0x2c2), gib + 4095, 0},
		{"one block more", makeSuperblock(gib/4096, 2, 0x2c2), gib + 4096, gib/4096 + 1},
		{"ten times the size", makeSuperblock(gib/4096, 2, 0x2c2), 10 * gib, 10 * gib / 4096},
		{"blocks of 1 KiB", makeSuperblock(gib/1024, 0, 0x242), 2 * gib, 2 * gib / 1024},
		{"device is smaller", makeSuperblock(gib/4096, 2, 0x2c2), gib / 2, 0},
		{"32 TiB fits", makeSuperblock(32<<40/4096, 2, 0x2c2), 32 << 40, 0},
		{"32 TiB", makeSuperblock(32<<40/4096, 2, 0x2c2), 33 << 40, 33 << 40 / 4096},
		{"high half without the feature", makeSuperblock(1<<32+gib/4096, 2, 0x242), gib, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := blocksToGrow(bytes.NewReader(test.device), test.size)
			if err != nil || got != test.want {
				t.Errorf("got %d, %v, want %d", got, err, test.want)
			}
		})
	}
	for name, device := range map[string][]byte{
		"nothing": nil, "cut off": makeSuperblock(1, 2, 0)[:1500], "zeros": make([]byte, 4096), "unlikely block size": makeSuperblock(1, 7, 0),
	} {
		if got, err := blocksToGrow(bytes.NewReader(device), gib); err == nil {
			t.Errorf("%s: got %d, want an error", name, got)
		}
	}
}

func FuzzBlocksToGrow(f *testing.F) {
	f.Add(makeSuperblock(1<<30/4096, 2, 0x2c2), int64(1<<31))
	f.Fuzz(func(t *testing.T, device []byte, size int64) {
		size = max(size, 0)
		if blocks, err := blocksToGrow(bytes.NewReader(device), size); err == nil && blocks > uint64(size)/1024 {
			t.Errorf("%d blocks on %d bytes", blocks, size)
		}
	})
}

// run runs a command, or skips the test without it.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Skipf("%s: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// makeFilesystem makes an image with a file system of 64 MiB.
func makeFilesystem(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "root.img")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20)); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-b", "4096", image)
	return image
}

func TestBlocksToGrowRealFilesystem(t *testing.T) {
	image, err := os.Open(makeFilesystem(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = image.Close() }()
	for size, want := range map[int64]uint64{64 << 20: 0, 68 << 20: 68 << 20 / 4096} {
		if got, err := blocksToGrow(image, size); got != want || err != nil {
			t.Errorf("to %d bytes: got %d, %v, want %d", size, got, err, want)
		}
	}
}

// TestGrowFilesystem has a real file system on a loop device that is somewhat
// larger.
func TestGrowFilesystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	image, target := makeFilesystem(t), t.TempDir()
	if err := os.Truncate(image, 68<<20); err != nil {
		t.Fatal(err)
	}
	device := run(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { run(t, "losetup", "--detach", device) })
	if err := unix.Mount(device, target, "ext4", 0, ""); err != nil {
		t.Skip("no ext4 here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
	var before, after unix.Statfs_t
	if err := unix.Statfs(target, &before); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := growFilesystem(device, target)
		if errors.Is(err, unix.EPERM) {
			t.Skip("no right to resize (CAP_SYS_RESOURCE):", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Statfs(target, &after); err != nil {
			t.Fatal(err)
		}
		if grown := (int64(after.Blocks) - int64(before.Blocks)) * after.Bsize; grown != 4<<20 {
			t.Errorf("grown by %d bytes, want %d", grown, 4<<20)
		}
	}
}

func TestGrowFilesystemErrors(t *testing.T) {
	dir := t.TempDir()
	if err := growFilesystem(filepath.Join(dir, "vda8"), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing device: %v", err)
	}
	device := filepath.Join(dir, "device")
	if err := os.WriteFile(device, makeSuperblock(0, 0, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := growFilesystem(device, filepath.Join(dir, "sysroot")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing mount point: %v", err)
	}
	// No file system of /proc takes the request.
	if err := growFilesystem(device, "/proc/self"); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "to 2 blocks") {
		t.Errorf("other file system: %v", err)
	}
}
