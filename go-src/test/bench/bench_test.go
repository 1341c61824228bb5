// Package bench measures the image and prints the figures; it judges nothing.
// Times are taken side by side with a stock Debian with Docker in the same run and
// given as ratios, since machines differ and drift.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"coreos/test/machine"
)

// rounds is how often each system is booted, in turns.
const rounds = 3

func TestBench(t *testing.T) {
	image, output, top := os.Getenv("COREOS_IMAGE"), os.Getenv("COREOS_OUTPUT"), os.Getenv("COREOS_TOP")
	if image == "" {
		t.Skip("COREOS_IMAGE is not set: run this by make bench")
	}
	images := filepath.Dir(image)
	stock := filepath.Join(output, "bench", "stock.img")
	if err := os.MkdirAll(filepath.Dir(stock), 0o755); err != nil {
		t.Fatal(err)
	}
	fmt.Println(run(t, filepath.Join(top, "go-src/test/bench/stock.sh"), stock))

	sizes(t, images, stock)
	counts(t, filepath.Join(output, "target", "usr"))
	buildTimes(t, top)
	boots(t, image, stock)
}

// run runs a program and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// allocated returns the bytes that a sparse file takes on the disk.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// compressed returns the bytes of a file compressed by zstd.
func compressed(t *testing.T, path string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(run(t, "sh", "-c", "zstd -q -T0 -10 -c '"+path+"' | wc -c"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sizes(t *testing.T, images, stock string) {
	const mib = 1 << 20
	raw := filepath.Join(images, "coreos_production_image.bin")
	ours, theirs := allocated(t, raw), allocated(t, stock)
	fmt.Printf("%-34s %8.1f MiB   stock %8.1f MiB   ratio %.2f\n", "image, allocated", float64(ours)/mib, float64(theirs)/mib, float64(ours)/float64(theirs))
	ours, theirs = compressed(t, raw), compressed(t, stock)
	fmt.Printf("%-34s %8.1f MiB   stock %8.1f MiB   ratio %.2f\n", "image, zstd -10", float64(ours)/mib, float64(theirs)/mib, float64(ours)/float64(theirs))
	for _, name := range []string{"coreos_production_boot.img", "coreos_production_usr.img", "bzImage", "bootengine"} {
		info, err := os.Stat(filepath.Join(images, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%-34s %8.1f MiB\n", name, float64(info.Size())/mib)
	}
	listing := run(t, "tar", "tvf", filepath.Join(images, "coreos_production_boot.img"))
	for line := range strings.Lines(listing) {
		if fields := strings.Fields(line); fields[len(fields)-1] == "initramfs" {
			n, _ := strconv.ParseFloat(fields[2], 64)
			fmt.Printf("%-34s %8.1f MiB\n", "initramfs", n/mib)
		}
	}
}

func counts(t *testing.T, usr string) {
	var files, executables, setuid int
	err := filepath.WalkDir(usr, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode()&0o111 != 0 {
			executables++
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			setuid++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("files %d, executables %d, set-user-id or set-group-id %d\n", files, executables, setuid)
}

// buildTimes builds in a directory of its own: all of it, then again after the
// version has changed, which repeats all but the base.
func buildTimes(t *testing.T, top string) {
	dir := t.TempDir()
	timed := func(what string, args ...string) {
		start := time.Now()
		run(t, "make", append([]string{"-C", top, "O=" + dir}, args...)...)
		fmt.Printf("%-34s %8.1f s\n", what, time.Since(start).Seconds())
	}
	timed("build, base included", "coreos_x86_64_dev_defconfig", "all")
	if err := os.Remove(filepath.Join(dir, "build/debian/target.stamp")); err != nil {
		t.Fatal(err)
	}
	timed("build after a change in a daemon", "all")
}

// boot is what one boot took, from power-on.
type boot struct {
	ssh, docker time.Duration
	usedMB      float64
}

func boots(t *testing.T, image, stock string) {
	key, err := machine.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	var ours, theirs [][2]boot
	for range rounds {
		ours = append(ours, bootTwice(t, key, "coreos", image))
		theirs = append(theirs, bootTwice(t, key, "stock", stock))
	}
	for i, which := range []string{"first boot", "second boot"} {
		line := func(what, unit string, of func(boot) float64) {
			var a, b, ratios []float64
			for round := range ours {
				a, b = append(a, of(ours[round][i])), append(b, of(theirs[round][i]))
				ratios = append(ratios, a[round]/b[round])
			}
			fmt.Printf("%-34s %8.1f %-3s   stock %8.1f %-3s   ratio %.2f (%.2f to %.2f, %d pairs)\n", which+", "+what,
				median(a), unit, median(b), unit, median(ratios), slices.Min(ratios), slices.Max(ratios), len(ratios))
		}
		line("to SSH", "s", func(b boot) float64 { return b.ssh.Seconds() })
		line("to Docker ready", "s", func(b boot) float64 { return b.docker.Seconds() })
		line("memory used", "MiB", func(b boot) float64 { return b.usedMB })
	}
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// bootTwice measures the first boot of a fresh disk, in which a system makes its
// keys and proves itself, and the next one, which is what a restart costs.
func bootTwice(t *testing.T, key *machine.Key, name, image string) [2]boot {
	t.Helper()
	dir := t.TempDir()
	disk, err := machine.NewDisk(dir, name, image, 0)
	if err != nil {
		t.Fatal(err)
	}
	return [2]boot{bootOnce(t, dir, key, name, disk), bootOnce(t, dir, key, name, disk)}
}

// bootOnce measures a boot and switches the machine off again.
func bootOnce(t *testing.T, dir string, key *machine.Key, name string, disk *machine.Disk) boot {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	start := time.Now()
	m, err := machine.Start(dir, key, machine.Config{Name: name, Disk: disk, CPUs: 2, MemoryMB: 2048})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Cut()
	var b boot
	if err := m.WaitSSH(ctx); err != nil {
		t.Fatal(err)
	}
	b.ssh = time.Since(start)
	if _, err := m.Run(ctx, "docker version"); err != nil {
		t.Fatal(err)
	}
	b.docker = time.Since(start)
	if _, err := m.Run(ctx, "systemctl is-system-running --wait"); err != nil {
		t.Log(err)
	}
	used, err := m.Run(ctx, "free -m | awk '/^Mem:/ {print $3}'")
	if err != nil {
		t.Fatal(err)
	}
	if b.usedMB, err = strconv.ParseFloat(used, 64); err != nil {
		t.Fatal(err)
	}
	m.Disconnect()
	if err := errors.Join(m.PowerButton(), m.WaitOff(ctx)); err != nil {
		t.Fatal(err)
	}
	return b
}
