// Package suite is the register of the black-box tests. A test has a name, says how
// many machines it starts and how long it may take, and runs beside others as far
// as the host's processors allow.
package suite

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"coreos/test/machine"
)

// Suite is the suite that a test belongs to.
type Suite int

// The suites.
const (
	Change Suite = iota // for every change
	Smoke               // for every release: those of Change, and more
	Soak                // hours: others, and those for which Native is set, in QEMU
)

// Test is a registered black-box test.
type Test struct {
	Suite    Suite
	Name     string        // unique; for RUN=
	Does     string        // one line
	Native   bool          // whether its machines may run on the host's kernel, see machine.Lab
	Needs    []Need        // what must be there besides the image
	Machines int           // that run at the same time; 0 for a test of files
	Limit    time.Duration // after which it has failed, on a host of the usual speed
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

	lab      *machine.Lab // nil where the machines are in QEMU
	scale    float64      // by which the test may be slower than usual
	machines []*machine.Machine
}

// Env describes the files and directories of a run.
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
	return e
}

// ImageFile returns the path of another artefact of the image's build.
func (e Env) ImageFile(name string) string { return filepath.Join(filepath.Dir(e.Image), name) }

// Native tells whether the machines run on the host's kernel, and not in QEMU.
func (t *T) Native() bool { return t.lab != nil }

// Scaled is a time that a host of the usual speed takes, as this one may take it.
func (t *T) Scaled(d time.Duration) time.Duration { return time.Duration(float64(d) * t.scale) }

// Seconds is such a time for a shell in a machine.
func (t *T) Seconds(n int) int {
	return int(math.Ceil(t.Scaled(time.Duration(n) * time.Second).Seconds()))
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

// Root makes the root file system of a new machine on the host's kernel.
func (t *T) Root(name string) *machine.Root {
	t.Helper()
	root, err := t.lab.NewRoot(t.Dir, name)
	t.Must(err)
	return root
}

// LimitedRoot makes the root file system of a new machine on the host's kernel, with a size of its own.
func (t *T) LimitedRoot(name string, size int64) *machine.Root {
	t.Helper()
	root, remove, err := t.lab.NewLimitedRoot(t.Dir, name, size)
	t.Must(err)
	t.Cleanup(func() { _ = remove() })
	return root
}

// Network makes a network for machines of this test.
func (t *T) Network() *machine.Network {
	t.Helper()
	newNetwork := machine.NewNetwork
	if t.Native() {
		newNetwork = t.lab.NewNetwork
	}
	network, err := newNetwork()
	t.Must(err)
	return network
}

// Listen listens on a port of the host that machines reach at HostInMachine.
func (t *T) Listen() net.Listener {
	t.Helper()
	address := "127.0.0.1"
	if t.Native() {
		address = machine.HostInMachine
	}
	return t.listenAt(address)
}

// ListenIPv6 listens on a port that machines without IPv4 reach at HostInMachineIPv6, once the first
// of them was started.
func (t *T) ListenIPv6() net.Listener {
	t.Helper()
	return t.listenAt(machine.HostInMachineIPv6)
}

func (t *T) listenAt(address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	t.Must(err)
	return listener
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
	start := time.Now()
	out, err := m.Run(t.Context, command)
	if took := time.Since(start); took > slow {
		t.Logf("%.1f s on %s: %.100s", took.Seconds(), m.Config.Name, command)
	}
	t.Must(err)
	return out
}

// slow is a command whose time is of interest.
const slow = 3 * time.Second

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

// Equal compares a result with the wanted one.
func (t *T) Equal(what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
