// Package bench measures the image and prints the figures; it judges nothing.
// Times are taken side by side with a stock Debian with Docker in the same run and
// given as ratios, since machines differ and drift.
package bench

import (
	"context"
	"errors"
	"fmt"
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

// system is one of those that are measured side by side; the last one is stock,
// which the others are compared with.
type system struct {
	name string
	// disk is what is booted, raw what is written to a disk.
	disk, raw string
	// first and second boots of each round
	first, second []boot
}

func TestBench(t *testing.T) {
	images, output, top := os.Getenv("COREOS_IMAGES"), os.Getenv("COREOS_OUTPUT"), os.Getenv("COREOS_TOP")
	if images == "" {
		t.Skip("COREOS_IMAGES is not set: run this by make bench")
	}
	var systems []*system
	for _, word := range strings.Fields(images) {
		name, image, ok := strings.Cut(word, "=")
		if !ok {
			t.Fatalf("IMAGES has %q: want NAME=FILE", word)
		}
		systems = append(systems, &system{name: name, disk: image, raw: filepath.Join(filepath.Dir(image), "coreos_production_image.bin")})
	}
	stock := filepath.Join(output, "bench", "stock.img")
	if err := os.MkdirAll(filepath.Dir(stock), 0o755); err != nil {
		t.Fatal(err)
	}
	fmt.Println(run(t, filepath.Join(top, "go-src/test/bench/stock.sh"), stock))

	compared := append(slices.Clone(systems), &system{name: "stock", disk: stock, raw: stock})
	sizes(t, compared)
	for _, s := range systems {
		parts(t, s)
	}
	buildTimes(t, top)
	boots(t, compared)
}

// row prints a figure of each system, with its ratio to the last one's.
func row(what, unit string, systems []*system, ratio func(*system) float64, figure func(*system) float64) {
	fmt.Printf("%-30s", what)
	for i, s := range systems {
		fmt.Printf("  %s %.1f %s", s.name, figure(s), unit)
		if i < len(systems)-1 {
			fmt.Printf(" (%.2f)", ratio(s))
		}
	}
	fmt.Println()
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

const mib = 1 << 20

func sizes(t *testing.T, systems []*system) {
	stock := systems[len(systems)-1]
	compare := func(what string, size func(*testing.T, string) int64) {
		bytes := map[*system]float64{}
		for _, s := range systems {
			bytes[s] = float64(size(t, s.raw))
		}
		row(what, "MiB", systems, func(s *system) float64 { return bytes[s] / bytes[stock] },
			func(s *system) float64 { return bytes[s] / mib })
	}
	compare("image, allocated", allocated)
	compare("image, zstd -10", compressed)
}

// parts prints the sizes of what an image is made of.
func parts(t *testing.T, s *system) {
	images := filepath.Dir(s.disk)
	fmt.Printf("%-30s", s.name)
	for _, name := range []string{"coreos_production_boot.img", "coreos_production_usr.img", "bzImage", "bootengine"} {
		info, err := os.Stat(filepath.Join(images, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("  %s %.1f MiB", name, float64(info.Size())/mib)
	}
	listing := run(t, "tar", "tvf", filepath.Join(images, "coreos_production_boot.img"))
	for line := range strings.Lines(listing) {
		if fields := strings.Fields(line); fields[len(fields)-1] == "initramfs" {
			n, _ := strconv.ParseFloat(fields[2], 64)
			fmt.Printf("  initramfs %.1f MiB", n/mib)
		}
	}
	fmt.Println()
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
	timed("build after a change in a daemon", "all", "COREOS_VERSION=1.0.0")
}

// boot is what one boot took, from power-on, and what was found in the machine.
type boot struct {
	prompt, ssh, docker, usedMB float64
	files, executables, setuid  string
}

// boots boots the systems in turns, so that whatever slows this machine down for a
// while slows all of them, and prints the middle of each.
func boots(t *testing.T, systems []*system) {
	key, err := machine.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for range rounds {
		for _, s := range systems {
			first, second := bootTwice(t, key, s)
			s.first, s.second = append(s.first, first), append(s.second, second)
		}
	}
	compare := func(what, unit string, of func(*system) []boot, figure func(boot) float64) {
		figures := func(s *system) (all []float64) {
			for _, b := range of(s) {
				all = append(all, figure(b))
			}
			return all
		}
		theirs := figures(systems[len(systems)-1])
		row(what, unit, systems, func(s *system) float64 {
			ratios := figures(s)
			for i := range ratios {
				ratios[i] /= theirs[i]
			}
			return median(ratios)
		}, func(s *system) float64 { return median(figures(s)) })
	}
	first, second := func(s *system) []boot { return s.first }, func(s *system) []boot { return s.second }
	compare("first boot, to login prompt", "s", first, func(b boot) float64 { return b.prompt })
	compare("first boot, to SSH", "s", first, func(b boot) float64 { return b.ssh })
	compare("first boot, to Docker ready", "s", first, func(b boot) float64 { return b.docker })
	compare("second boot, to login prompt", "s", second, func(b boot) float64 { return b.prompt })
	compare("second boot, to SSH", "s", second, func(b boot) float64 { return b.ssh })
	compare("second boot, to Docker ready", "s", second, func(b boot) float64 { return b.docker })
	compare("memory used", "MiB", second, func(b boot) float64 { return b.usedMB })
	for _, s := range systems {
		b := s.second[0]
		fmt.Printf("%-30s  files in /usr %s, executables %s, set-user-id or set-group-id %s\n", s.name, b.files, b.executables, b.setuid)
	}
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// bootTwice measures the first boot of a new disk, in which a system makes its keys and
// proves itself healthy, and the next boot, which is the cost of a restart.
func bootTwice(t *testing.T, key *machine.Key, s *system) (first, second boot) {
	t.Helper()
	dir := t.TempDir()
	for try := 1; ; try++ {
		disk, err := machine.NewDisk(dir, fmt.Sprintf("%s-%d", s.name, try), s.disk, 0)
		if err != nil {
			t.Fatal(err)
		}
		if first, err = bootOnce(dir, key, s.name, disk); err == nil {
			second, err = bootOnce(dir, key, s.name, disk)
		}
		if err == nil {
			return first, second
		}
		if !errors.Is(err, errEmulator) || try == 3 {
			t.Fatalf("%s: %v", s.name, err)
		}
		fmt.Printf("%s: booted anew: %v\n", s.name, errEmulator)
	}
}

// errEmulator: when QEMU emulates several processors, one of them sometimes runs into the
// breakpoint that a kernel sets for a moment where it patches itself. The guest crashes,
// which says nothing about the image.
var errEmulator = errors.New("the emulated processors ran into a breakpoint of the kernel's patching")

// bootOnce measures a boot and switches the machine off again.
func bootOnce(dir string, key *machine.Key, name string, disk *machine.Disk) (boot, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 5*time.Minute, errors.New("it took five minutes"))
	defer cancel()
	start := time.Now()
	m, err := machine.Start(dir, key, machine.Config{Name: name, Disk: disk, CPUs: 2, MemoryMB: 2048})
	if err != nil {
		return boot{}, err
	}
	defer m.Cut()
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if _, err := m.Console.Wait(watched, `Oops: int3`); err == nil {
			stop(errEmulator)
		}
	}()
	b, err := followBoot(watched, m, start)
	if err != nil {
		return b, fmt.Errorf("%w; the console's end:\n%s", errors.Join(err, context.Cause(watched)), tail(m.Console.Text(0)))
	}
	m.Disconnect()
	return b, errors.Join(m.PowerButton(), m.WaitOff(ctx))
}

// tail returns the last lines of a console.
func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// followBoot takes the figures of a machine that was switched on at start.
func followBoot(ctx context.Context, m *machine.Machine, start time.Time) (b boot, err error) {
	var promptErr error
	prompt := make(chan float64, 1)
	go func() {
		_, promptErr = m.Console.Wait(ctx, `login: `)
		prompt <- time.Since(start).Seconds()
	}()
	if err := m.WaitSSH(ctx); err != nil {
		return b, err
	}
	b.ssh = time.Since(start).Seconds()
	if _, err := m.Run(ctx, "docker version"); err != nil {
		return b, err
	}
	b.docker = time.Since(start).Seconds()
	if b.prompt = <-prompt; promptErr != nil {
		return b, promptErr
	}
	// A unit that failed is printed, and does not end the measurement.
	if state, err := m.Run(ctx, "systemctl is-system-running --wait || true"); err != nil {
		return b, err
	} else if state != "running" {
		fmt.Printf("%s is %s\n", m.Config.Name, state)
	}
	used, err := m.Run(ctx, "free -m | awk '/^Mem:/ {print $3}'")
	if err != nil {
		return b, err
	}
	if b.usedMB, err = strconv.ParseFloat(used, 64); err != nil {
		return b, err
	}
	for _, counted := range []struct {
		into *string
		of   string
	}{{&b.files, ""}, {&b.executables, "-perm /111"}, {&b.setuid, "-perm /6000"}} {
		if *counted.into, err = m.Run(ctx, "find /usr -xdev -type f "+counted.of+" | wc -l"); err != nil {
			return b, err
		}
	}
	return b, nil
}
