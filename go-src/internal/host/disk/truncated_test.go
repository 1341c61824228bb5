package disk

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// startOfImage returns the image's sectors from the table's header on.
func startOfImage(t testing.TB) []byte {
	t.Helper()
	table := make([]byte, 33*512)
	if _, err := newMemory(t, imageSize, image(t)).ReadAt(table, 512); err != nil {
		t.Fatal(err)
	}
	return table
}

// changed returns the table with another header, with a good checksum.
func changed(table []byte, change func(header []byte)) []byte {
	header := rewriteHeader(sector(table[:512]), change)
	return append(header[:], table[512:]...)
}

func TestImageSectors(t *testing.T) {
	good := startOfImage(t)
	damaged := append([]byte(nil), good...)
	damaged[32]++
	tests := []struct {
		name  string
		table []byte
		want  uint64
	}{
		{"image", good, imageSize / 512},
		{"zeros", make([]byte, len(good)), 0},
		{"damaged header", damaged, 0},
		{"not ours", append(append([]byte(nil), good[:512]...), make([]byte, 32*512)...), 0},
		{"usable sectors behind the backup", changed(good, func(h []byte) { putLBA(h[48:], 1_000_000) }), 1_000_001},
		{"without end", changed(good, func(h []byte) { putLBA(h[32:], math.MaxUint64) }), 0},
		{"larger than any disk", changed(good, func(h []byte) { putLBA(h[32:], 1<<48) }), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := imageSectors(test.table); got != test.want {
				t.Errorf("got %d sectors, want %d", got, test.want)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	const sectors = imageSize / 512
	tests := []struct {
		name   string
		size   string // as sysfs says
		sector int    // number from which on the disk is missing
		want   string
	}{
		{"large enough", strconv.Itoa(sectors), sectors, ""},
		{"a sector is missing", strconv.Itoa(sectors - 1), sectors - 1,
			"disk vda has 15 MiB, but the image written to it needs 16 MiB: write it to a larger disk"},
		{"half of it is missing", strconv.Itoa(sectors / 2), sectors / 2,
			"disk vda has 8 MiB, but the image written to it needs 16 MiB: write it to a larger disk"},
		{"no medium", "0", 0, ""},
		{"smaller than a table", "8", 8, ""},
		{"size makes no sense", "x", sectors, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sys, dev := t.TempDir(), t.TempDir()
			writeFile(t, filepath.Join(sys, "block/vda/size"), test.size+"\n")
			disk := append(make([]byte, 512), startOfImage(t)...)
			writeFile(t, filepath.Join(dev, "vda"), string(disk[:min(len(disk), 512*test.sector)]))
			if got := truncated(sys, dev); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTruncatedPassesOverOthers(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(sys, "block/sr0/size"), "2097151\n") // has no node in dev
	writeFile(t, filepath.Join(sys, "block/vda/size"), "2048\n")
	writeFile(t, filepath.Join(dev, "vda"), strings.Repeat("data", 1<<18))
	writeFile(t, filepath.Join(sys, "block/vdb/size"), "2048\n")
	writeFile(t, filepath.Join(dev, "vdb"), strings.Repeat("\x00", 512)+string(startOfImage(t)))
	if got := truncated(sys, dev); !strings.HasPrefix(got, "disk vdb has 1 MiB") {
		t.Errorf("got %q", got)
	}
}

// writeFile makes a file and the directories to it.
func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzImageSectors(f *testing.F) {
	good := startOfImage(f)
	f.Add(good[:92], good[512:1024], true)
	f.Add(good[:92], []byte{}, false)
	f.Fuzz(func(t *testing.T, header, entries []byte, fix bool) {
		table := startOfImage(t)
		copy(table[:512], header)
		copy(table[512:], entries)
		if fix {
			table = changed(table, func([]byte) {})
		}
		if got := imageSectors(table); got > 1<<48 {
			t.Errorf("got %d sectors", got)
		}
	})
}
