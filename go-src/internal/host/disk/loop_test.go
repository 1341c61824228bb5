package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// loopDisk writes the image to a file and attaches the file as a disk of the size. The
// kernel finds the partitions, or is told of them if it does not support GPT.
func loopDisk(t *testing.T, size int64) (disk Disk, file string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can attach a loop device")
	}
	file = filepath.Join(t.TempDir(), "disk")
	content := make([]byte, imageSize)
	for number, s := range image(t) {
		copy(content[512*number:], s[:])
	}
	copy(content[446:], "\x00\x00\x02\x00\xee\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff") // protective MBR
	copy(content[510:], "\x55\xaa")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices here: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		_ = exec.Command("partx", "--delete", device).Run()
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup: %v: %s", err, out)
		}
	})
	if out, err := exec.Command("partx", "--add", device).CombinedOutput(); err != nil {
		t.Skipf("no partitions on loop devices here: %v: %s", err, out)
	}
	disk = Disk{Name: filepath.Base(device), Partitions: map[string]string{}}
	for i, label := range layout {
		disk.Partitions[label] = fmt.Sprintf("%sp%d", disk.Name, i+1)
	}
	return disk, file
}

// TestGrowWithKernel grows a partition of a disk of the running kernel, which has
// to learn of it and must not make the partitions anew.
func TestGrowWithKernel(t *testing.T) {
	disk, file := loopDisk(t, 64*mib)
	nodes := func() (infos []os.FileInfo) {
		for _, label := range layout {
			info, err := os.Stat(filepath.Join("/sys/class/block", disk.Partitions[label], "partition"))
			if err != nil {
				t.Fatal(err)
			}
			infos = append(infos, info)
		}
		return infos
	}
	before := nodes()
	if grown, err := disk.Grow("/sys", RootLabel); err != nil || grown != 54*mib {
		t.Fatalf("grown by %d, %v", grown, err)
	}
	if !slices.EqualFunc(before, nodes(), os.SameFile) {
		t.Error("the kernel has made partitions anew: their labels are lost")
	}
	size, err := os.ReadFile(filepath.Join("/sys/class/block", disk.Partitions[RootLabel], "size"))
	if want := fmt.Sprintln(55 * mib / 512); string(size) != want || err != nil {
		t.Errorf("the kernel says that ROOT has %q sectors, want %q, %v", size, want, err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	written := newMemory(t, 64*mib, map[int64]sector{})
	for number := range written.size / 512 {
		written.sectors[number] = sector(content[512*number:])
	}
	checkGrown(t, written, mustTable(t, newMemory(t, imageSize, image(t))))

	if grown, err := disk.Grow("/sys", RootLabel); err != nil || grown != 0 {
		t.Errorf("second time: grown by %d, %v", grown, err)
	}
}

func TestGrowErrors(t *testing.T) {
	sys := makeSysfs(t)
	d := Disk{Name: "gone", Partitions: map[string]string{"ROOT": "nvme0n1p8"}}
	if _, err := d.Grow(sys, RootLabel); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "open disk gone") {
		t.Errorf("disk that has left: %v", err)
	}
	if _, err := d.Grow(sys, OEMLabel); err == nil || !strings.Contains(err.Error(), "no partition OEM") {
		t.Errorf("partition that is not there: %v", err)
	}
}
