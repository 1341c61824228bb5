// Package fattest makes FAT32 volumes for tests, and disks whose power is cut.
package fattest

import (
	"bytes"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	sector = 512
	// volumeSize is in bytes. mtools takes smaller volumes for FAT16.
	volumeSize = 34 << 20
)

// Volume makes an EFI system partition, as board/coreos/make-loader.sh does, with the given
// loader. The test is skipped where the tools are not installed.
func Volume(t testing.TB, loader []byte) []byte {
	t.Helper()
	for _, tool := range []string{"mkfs.vfat", "mcopy", "mmd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	path := filepath.Join(t.TempDir(), "efi.img")
	file := filepath.Join(t.TempDir(), "loader")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, volumeSize), os.WriteFile(file, loader, 0o600)); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.vfat", "-F", "32", "-s", "1", "-n", "EFI-SYSTEM", "--invariant", path)
	run(t, "mmd", "-i", path, "::EFI", "::EFI/BOOT")
	run(t, "mcopy", "-i", path, file, "::EFI/BOOT/BOOTX64.EFI")
	run(t, "mcopy", "-i", path, file, "::OTHER")
	volume, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return volume
}

// Read returns a file of a volume as mtools, which knows nothing of our code, finds it.
func Read(t testing.TB, volume []byte, name string) []byte {
	t.Helper()
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "efi.img"), filepath.Join(dir, "copy")
	save(t, path, volume)
	run(t, "mcopy", "-i", path, "::"+name, copied)
	data, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Check has fsck.vfat check a volume.
func Check(t testing.TB, volume []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "efi.img")
	save(t, path, volume)
	run(t, "fsck.vfat", "-n", path)
}

// save writes a volume to a file without its many zeros.
func save(t testing.TB, path string, volume []byte) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = file.Truncate(int64(len(volume)))
	const piece = 64 << 10
	zeros := make([]byte, piece)
	for at := 0; at < len(volume) && err == nil; at += piece {
		if data := volume[at:min(at+piece, len(volume))]; !bytes.Equal(data, zeros[:len(data)]) {
			_, err = file.WriteAt(data, int64(at))
		}
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "TZ=UTC")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Disk is a disk in memory that remembers what was written between two syncs.
type Disk struct {
	Data  []byte
	begin []byte
	log   []write
}

// write is one sector, or a sync if data is nil.
type write struct {
	at   int64
	data []byte
}

// NewDisk makes a disk with a copy of the content.
func NewDisk(content []byte) *Disk {
	return &Disk{Data: bytes.Clone(content), begin: bytes.Clone(content)}
}

// ReadAt implements io.ReaderAt.
func (d *Disk) ReadAt(b []byte, at int64) (int, error) { return bytes.NewReader(d.Data).ReadAt(b, at) }

// WriteAt implements io.WriterAt, for whole sectors inside of the disk.
func (d *Disk) WriteAt(b []byte, at int64) (int, error) {
	if at%sector != 0 || len(b)%sector != 0 || at+int64(len(b)) > int64(len(d.Data)) {
		return 0, errors.New("not whole sectors of the disk")
	}
	copy(d.Data[at:], b)
	for n := 0; n < len(b); n += sector {
		d.log = append(d.log, write{at + int64(n), bytes.Clone(b[n : n+sector])})
	}
	return len(b), nil
}

// Sync flushes what was written.
func (d *Disk) Sync() error {
	d.log = append(d.log, write{})
	return nil
}

// Cuts yields what may be on the disk after a power cut: at each moment, what was written
// before the last sync, and of what was written since any sectors. Of each such set it takes
// some: none, one after the other in both orders, and some at random. The slice is valid
// until the next one.
func (d *Disk) Cuts() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		random := rand.New(rand.NewPCG(1, 2))
		synced := bytes.Clone(d.begin)
		for log := d.log; len(log) > 0; {
			n := 0
			for n < len(log) && log[n].data != nil {
				n++
			}
			for _, set := range sets(n, random) {
				state := bytes.Clone(synced)
				for _, w := range set {
					copy(state[log[w].at:], log[w].data)
				}
				if !yield(state) {
					return
				}
			}
			for _, w := range log[:n] {
				copy(synced[w.at:], w.data)
			}
			if n < len(log) {
				n++ // the sync
			}
			log = log[n:]
		}
		yield(synced)
	}
}

// sets returns some subsets of n numbers.
func sets(n int, random *rand.Rand) [][]int {
	all := [][]int{nil}
	step := max(1, n/8)
	for k := 1; k <= n; k += step {
		var head, tail []int
		for i := range k {
			head, tail = append(head, i), append(tail, n-1-i)
		}
		all = append(all, head, tail)
	}
	for range 4 {
		var some []int
		for i := range n {
			if random.IntN(2) == 0 {
				some = append(some, i)
			}
		}
		all = append(all, some)
	}
	return all
}
