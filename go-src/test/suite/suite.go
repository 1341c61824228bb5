// Package suite is the register of the black-box tests. A test has a name, says how
// many machines it starts and how long it may take, and runs beside others as far
// as the host's processors allow.
package suite

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"coreos/test/machine"
)

// Suite is what a test belongs to.
type Suite int

// The suites.
const (
	Smoke Suite = iota // for every change
	Soak               // hours
)

// Test is a registered black-box test.
type Test struct {
	Suite    Suite
	Name     string        // unique; for RUN=
	Does     string        // one line
	Machines int           // that run at the same time
	Limit    time.Duration // after which it has failed
	Run      func(*T)
}

var tests []Test

// Register adds a test; called from init functions.
func Register(t Test) {
	for _, other := range tests {
		if other.Name == t.Name {
			panic("test " + t.Name + " is registered twice")
		}
	}
	tests = append(tests, t)
}

// T is a running test.
type T struct {
	*testing.T
	Context context.Context
	Env     Env
	Dir     string // for the test's disks and logs; removed unless it fails

	machines []*machine.Machine
}

// Env is what the tests run against.
type Env struct {
	Image  string // disk image
	Top    string // the tree
	Output string // where the image was built: slot images, keys
	key    *machine.Key
	shared *shared
}

// lookup reads the environment that the Makefile sets.
func lookup(t *testing.T) Env {
	e := Env{Image: os.Getenv("COREOS_IMAGE"), Top: os.Getenv("COREOS_TOP"), Output: os.Getenv("COREOS_OUTPUT")}
	if e.Image == "" {
		t.Skip("COREOS_IMAGE is not set: run these tests by make")
	}
	key, err := machine.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e.key = key
	e.shared = newShared(t)
	return e
}

// ImageFile returns the path of another artefact of the image's build.
func (e Env) ImageFile(name string) string { return filepath.Join(filepath.Dir(e.Image), name) }

// RunAll runs the registered tests of a suite as subtests, those that take longest
// first, several at a time: as many machines run as the host has processors, at
// least two, since one that waits for a time-out leaves its processor to the other.
func RunAll(t *testing.T, suite Suite) {
	env := lookup(t)
	logs := filepath.Join(env.Output, "test-logs", t.Name())
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	seats := make(chan struct{}, max(2, runtime.NumCPU()))
	var running sync.WaitGroup
	defer running.Wait()
	for _, test := range inOrder(suite) {
		needed := min(test.Machines, cap(seats))
		for range needed {
			seats <- struct{}{}
		}
		running.Go(func() {
			t.Run(test.Name, func(t *testing.T) { runOne(t, env, test, filepath.Join(logs, test.Name)) })
			for range needed {
				<-seats
			}
		})
	}
}

// inOrder returns the tests of a suite, those with the longest limit first.
func inOrder(suite Suite) []Test {
	of := slices.DeleteFunc(slices.Clone(tests), func(t Test) bool { return t.Suite != suite })
	slices.SortStableFunc(of, func(a, b Test) int { return cmp.Compare(b.Limit, a.Limit) })
	return of
}

func runOne(t *testing.T, env Env, test Test, dir string) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), test.Limit)
	defer cancel()
	run := &T{T: t, Context: ctx, Env: env, Dir: dir}
	start := time.Now()
	t.Cleanup(func() {
		for _, m := range run.machines {
			m.Cut()
		}
		run.tidy()
		t.Logf("%-24s %5.1f s", test.Name, time.Since(start).Seconds())
	})
	test.Run(run)
}

// tidy keeps the consoles of a failed test and nothing of another.
func (t *T) tidy() {
	if !t.Failed() {
		_ = os.RemoveAll(t.Dir)
		return
	}
	disks, _ := filepath.Glob(filepath.Join(t.Dir, "*.qcow2"))
	for _, disk := range disks {
		_ = os.Remove(disk)
	}
	t.Logf("consoles are kept in %s", t.Dir)
}

// Disk makes a throw-away disk over the image under test.
func (t *T) Disk(name string) *machine.Disk {
	t.Helper()
	disk, err := machine.NewDisk(t.Dir, name, t.Env.Image, 0)
	t.Must(err)
	return disk
}

// Start switches a machine on; it is switched off when the test ends.
func (t *T) Start(config machine.Config) *machine.Machine {
	t.Helper()
	if config.Name == "" {
		config.Name = fmt.Sprintf("machine%d", len(t.machines)+1)
	}
	m, err := machine.Start(t.Dir, t.Env.key, config)
	t.Must(err)
	t.machines = append(t.machines, m)
	return m
}

// Must ends the test when err is not nil.
func (t *T) Must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Run runs a command in the machine and returns its output.
func (t *T) Run(m *machine.Machine, command string) string {
	t.Helper()
	out, err := m.Run(t.Context, command)
	t.Must(err)
	return out
}

// Fails runs a command in the machine that has to fail.
func (t *T) Fails(m *machine.Machine, command string) string {
	t.Helper()
	out, err := m.Run(t.Context, command)
	if err == nil {
		t.Fatalf("%s: went well, but must not: %s", command, out)
	}
	return err.Error()
}

// Shows waits until the pattern appears on the machine's console.
func (t *T) Shows(m *machine.Machine, pattern string) {
	t.Helper()
	t.ShowsAfter(m, 0, pattern)
}

// ShowsAfter waits until the pattern appears on the console behind the mark.
func (t *T) ShowsAfter(m *machine.Machine, mark int, pattern string) {
	t.Helper()
	_, err := m.Console.WaitAfter(t.Context, mark, pattern)
	t.Must(err)
}

// Equal compares what a test saw with what it wants.
func (t *T) Equal(what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
