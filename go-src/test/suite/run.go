package suite

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coreos/test/machine"
)

// notIsolated is why the tests' process has no namespaces of its own.
var notIsolated error

// Main runs the tests of a package, in namespaces of their own where that is possible.
func Main(m *testing.M) {
	if os.Getenv("COREOS_IMAGE") != "" {
		notIsolated = machine.Isolate()
	}
	os.Exit(m.Run())
}

// run has the state that the tests of one run share.
type run struct {
	env          Env
	logs         string
	lab          *machine.Lab // nil where there is none
	native, qemu float64      // how much slower than usual machines are
}

// The seats of the host that a machine takes. One in QEMU keeps a processor busy, one on
// the host's kernel mostly waits. Two processors have seats for two of each kind, or for
// eight on the host's kernel.
const (
	seatsQEMU   = 3
	seatsNative = 1
	seatsMore   = 2
)

// RunAll runs the registered tests of a suite as subtests, those that take longest first,
// several at a time: as many machines run in QEMU as the host has processors, at least two,
// since one that waits for a time-out leaves its processor to the other.
func RunAll(t *testing.T, suite Suite) {
	env := lookup(t)
	chosen := choose(suite, pattern())
	if len(chosen) == 0 {
		t.Fatalf("%s has no test that matches %s", t.Name(), pattern())
	}
	if missing := missing(env, chosen); len(missing) > 0 {
		t.Fatalf("what the tests need is not there:\n  %s", strings.Join(missing, "\n  "))
	}
	r := &run{env: env, logs: filepath.Join(env.Output, "test-logs", t.Name())}
	if err := alone(filepath.Dir(r.logs)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.logs); err != nil { // a run that was killed may have left a lot
		t.Fatal(err)
	}
	shared, err := newShared(filepath.Join(r.logs, "shared"))
	if err != nil {
		t.Fatal(err)
	}
	r.env.shared = shared
	t.Cleanup(func() { _ = os.RemoveAll(shared.dir) })
	r.openLab(t, suite, chosen)
	r.measure(t, chosen, nativeSlowness, func(ctx context.Context) (float64, error) { return emulatedSlowness(ctx, shared.dir) })
	r.all(t, chosen)
}

// all runs the tests, each as soon as there are seats for its machines; one without a machine
// takes a seat, too.
func (r *run) all(t *testing.T, tests []Test) {
	seats := seatsQEMU*max(2, runtime.NumCPU()) + seatsMore
	needs := func(test Test) int { return min(max(1, test.Machines*r.seatsFor(test)), seats) }
	slices.SortStableFunc(tests, func(a, b Test) int { return cmp.Compare(r.expected(b), r.expected(a)) })
	free, ended := seats, make(chan int)
	for len(tests) > 0 || free < seats {
		next := slices.IndexFunc(tests, func(test Test) bool { return needs(test) <= free })
		if next < 0 {
			free += <-ended
			continue
		}
		test := tests[next]
		tests = slices.Delete(tests, next, next+1)
		free -= needs(test)
		go func() {
			defer func() { ended <- needs(test) }()
			t.Run(test.Name, func(t *testing.T) { r.one(t, test) })
		}()
	}
}

// expected is how long a test takes, compared with others.
func (r *run) expected(test Test) time.Duration {
	if r.isNative(test) {
		return test.Limit / 6
	}
	return test.Limit
}

// alone makes sure that no other run uses the directory, for as long as this process lives.
func alone(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The process keeps the lock until it ends: nothing closes the descriptor.
	lock, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another run of the tests uses %s: %w", dir, err)
	}
	return nil
}

// pattern is what RUN= says of the names of tests.
func pattern() *regexp.Regexp {
	_, names, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	chosen, err := regexp.Compile(names)
	if err != nil {
		return regexp.MustCompile("") // package testing complains, too
	}
	return chosen
}

// isIn tells whether a test is in a suite.
func (t Test) isIn(suite Suite) bool {
	if suite == Soak {
		return t.Suite == Soak || t.Native
	}
	return t.Suite <= suite
}

// choose returns the tests of a suite whose names match.
func choose(suite Suite, names *regexp.Regexp) []Test {
	return slices.DeleteFunc(slices.Clone(tests), func(t Test) bool { return !t.isIn(suite) || !names.MatchString(t.Name) })
}

// openLab makes the lab for tests on the host's kernel. Where that cannot be, it says so
// once, and the tests are in QEMU; so they are in the soak suite, all of them.
func (r *run) openLab(t *testing.T, suite Suite, chosen []Test) {
	if suite == Soak || !slices.ContainsFunc(chosen, func(test Test) bool { return test.Native }) {
		return
	}
	err := notIsolated
	if err == nil {
		r.lab, err = machine.OpenLab(filepath.Join(r.env.shared.dir, "lab"), filepath.Dir(r.env.Image), filepath.Join(r.env.Top, "go-src"))
	}
	if err != nil {
		t.Logf("all machines are in QEMU, which takes longer; for machines on this host's kernel: %v", err)
		return
	}
	t.Cleanup(r.lab.Close)
}

// measure finds out how fast this host is at what the tests use, by the pieces of work.
func (r *run) measure(t *testing.T, chosen []Test, native func() float64, emulated func(context.Context) (float64, error)) {
	r.native, r.qemu = 1, 1
	if slices.ContainsFunc(chosen, r.isNative) {
		r.native = native()
	}
	if slices.ContainsFunc(chosen, func(test Test) bool { return !r.isNative(test) }) {
		var err error
		if r.qemu, err = emulated(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("limits are those of the usual machine, times %.1f on the host's kernel and %.1f in QEMU", r.native, r.qemu)
}

func (r *run) isNative(test Test) bool { return test.Native && r.lab != nil }

func (r *run) seatsFor(test Test) int {
	if r.isNative(test) {
		return seatsNative
	}
	return seatsQEMU
}

// one runs a test.
func (r *run) one(t *testing.T, test Test) {
	dir := filepath.Join(r.logs, test.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	of := &T{T: t, Env: r.env, Dir: dir, scale: r.qemu}
	where := "in QEMU"
	if test.Machines == 0 {
		where = "on the build host"
	}
	if r.isNative(test) {
		of.lab, of.scale, where = r.lab, r.native, "on the host's kernel"
	}
	ctx, cancel := context.WithTimeout(context.Background(), of.Scaled(test.Limit))
	defer cancel()
	of.Context = ctx
	start := time.Now()
	t.Cleanup(func() {
		for _, m := range of.machines {
			m.Cut()
		}
		of.tidy()
		took := time.Since(start)
		t.Logf("%-24s %5.1f s %s", test.Name, took.Seconds(), where)
		_ = r.record(test.Name, took, where)
	})
	test.Run(of)
}

// times is the file with how long each test took.
const times = "times"

var recording sync.Mutex

func (r *run) record(name string, took time.Duration, where string) error {
	recording.Lock()
	defer recording.Unlock()
	file, err := os.OpenFile(filepath.Join(r.logs, times), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = fmt.Fprintf(file, "%-28s %6.1f s %s\n", name, took.Seconds(), where)
	return err
}

// tidy keeps the consoles of a failed test and nothing of another.
func (t *T) tidy() {
	if !t.Failed() {
		_ = os.RemoveAll(t.Dir)
		return
	}
	for _, pattern := range []string{"*.qcow2", "*.root"} {
		disks, _ := filepath.Glob(filepath.Join(t.Dir, pattern))
		for _, disk := range disks {
			_ = os.RemoveAll(disk)
		}
	}
	t.Logf("consoles are kept in %s", t.Dir)
}
