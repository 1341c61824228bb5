package blackbox

import (
	"fmt"
	"math/rand/v2"
	"time"

	"coreos/internal/boot/slot"
	"coreos/test/machine"
	"coreos/test/suite"
)

// The boot of a proven machine takes about as long as this under emulation.
const bootTime = 25 * time.Second

func init() {
	registerSeeds(3, 30, powerCut, suite.Test{
		Name: "power-cut", Needs: suite.Slots, Machines: 1, Limit: 6 * time.Minute,
		Does: "power cut at a random moment of the boot: the next boot is fine, the tries are right",
	})
}

// registerSeeds registers a test that depends on chance: with a few seeds in the smoke suite, and
// with further ones in the soak.
func registerSeeds(smoke, soak int, run func(*suite.T, uint64), test suite.Test) {
	name := test.Name
	for seed := range smoke + soak {
		test.Suite = suite.Soak
		if seed < smoke {
			test.Suite = suite.Smoke
		}
		test.Name = fmt.Sprintf("%s-%d", name, seed)
		test.Run = func(t *suite.T) { run(t, uint64(seed)) }
		suite.Register(test)
	}
}

func powerCut(t *suite.T, seed uint64) {
	// Every other machine is cut at its first boot, when ROOT is still to be grown.
	disk := twoSlots(t)
	if seed%2 == 1 {
		disk = proven(t)
	}
	moment := time.Duration(rand.New(rand.NewPCG(seed, 1)).Int64N(int64(bootTime)))
	m := t.Start(machine.Config{Name: "cut", Disk: disk})
	time.Sleep(moment) // the moment is the test's input, not a wait for something
	text := m.Console.Text(0)
	m.Cut()
	t.Logf("cut after %v, %d bytes of console", moment.Round(time.Millisecond), len(text))

	// GRUB takes one try before it starts the kernel. A healthy machine gives it back in its last
	// step.
	states := decode(t, disk)
	a := states.Slots[slot.A]
	if !a.OK || a.Why != "" || a.Tries < slot.MaxTries-1 {
		t.Errorf("after the power cut slot A is %+v", a)
	}
	m = t.Start(machine.Config{Name: "next", Disk: disk})
	healthy(t, m)
	wantSlots(t, m, "A", slotState{Tries: slot.MaxTries, OK: true})
	t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
	t.Equal("root file system", t.Run(m, "findmnt -no FSTYPE,OPTIONS / | cut -c1-7"), "ext4 rw")
}

// decode reads the boot state of a machine that is off.
func decode(t *suite.T, disk *machine.Disk) slot.States {
	t.Helper()
	states, err := slot.Load(store{t, disk})
	t.Must(err)
	return states
}
