package blackbox

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"coreos/internal/boot/slot"
	"coreos/internal/boot/slot/grubtest"
	"coreos/internal/boot/verity"
	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "grub-model", Needs: suite.Slots, Machines: 1, Limit: 8 * time.Minute,
		Does: "GRUB chooses the slot, and leaves the state, that the model of it says",
		Run:  func(t *suite.T) { grubModel(t, grubRules()) },
	})
	suite.Register(suite.Test{
		Suite: suite.Soak, Name: "grub-model-more", Needs: suite.Slots, Machines: 1, Limit: 4 * time.Hour,
		Does: "the same for many states",
		Run:  func(t *suite.T) { grubModel(t, grubCases(200)) },
	})
}

// grubCase is a state of the slots, and whether each can be loaded.
type grubCase struct {
	states slot.States
	loads  map[slot.Name]bool
}

// grubRules are the cases that tell GRUB's rules from others.
func grubRules() []grubCase {
	loads := func(a, b bool) map[slot.Name]bool { return map[slot.Name]bool{slot.A: a, slot.B: b} }
	of := func(order string, a, b slot.State, loads map[slot.Name]bool) grubCase {
		return grubCase{slot.States{Order: [2]slot.Name{slot.Name(order[:1]), slot.Name(order[1:])}, Slots: map[slot.Name]slot.State{slot.A: a, slot.B: b}}, loads}
	}
	proven, trial, gone := slot.State{Tries: 3, OK: true}, slot.State{Tries: 1}, slot.State{}
	last := slot.State{OK: true}
	return []grubCase{
		of("AB", proven, proven, loads(true, true)), // the first of the order
		of("BA", proven, trial, loads(true, true)),  // though it is on trial
		of("BA", trial, gone, loads(true, true)),    // not without tries
		of("AB", trial, proven, loads(false, true)), // not if it cannot be loaded
		of("AB", gone, last, loads(true, true)),     // without tries, a proven one
		of("AB", gone, last, loads(true, false)),    // or any that can be loaded
		of("BA", trial, proven, loads(false, false)),
	}
}

// grubCases are some at random.
func grubCases(n int) []grubCase {
	random := rand.New(rand.NewPCG(2, 3))
	var cases []grubCase
	for range n {
		c := grubCase{slot.States{Order: [2]slot.Name{slot.A, slot.B}, Slots: map[slot.Name]slot.State{}}, map[slot.Name]bool{}}
		if random.IntN(2) == 0 {
			c.states.Order = [2]slot.Name{slot.B, slot.A}
		}
		for _, name := range c.states.Order {
			c.states.Slots[name] = slot.State{Tries: max(0, random.IntN(6)-2), OK: random.IntN(2) == 0}
			c.loads[name] = random.IntN(4) > 0
		}
		cases = append(cases, c)
	}
	return cases
}

func grubModel(t *suite.T, cases []grubCase) {
	for i, c := range cases {
		disk := t.DiskFrom("two-slots", bothSlots(t), fmt.Sprintf("disk%d", i))
		env := map[string]string{"ORDER": fmt.Sprintf("%s %s", c.states.Order[0], c.states.Order[1])}
		for name, state := range c.states.Slots {
			env[string(name)+"_TRIES"] = fmt.Sprint(state.Tries)
			env[string(name)+"_OK"] = map[bool]string{true: "1", false: "0"}[state.OK]
			env[string(name)+"_WHY"] = ""
			if !c.loads[name] {
				extent, err := disk.Partition(name.BootLabel())
				t.Must(err)
				t.Must(disk.Zero(extent.Offset, verity.BlockSize)) // as install leaves it
			}
		}
		setEnv(t, disk, env)
		m := t.Start(machine.Config{Name: fmt.Sprintf("case%d", i), Disk: disk})
		line, err := m.Console.Wait(t.Context, `CoreOS \S+, slot [AB]|NO SLOT CAN BE BOOTED`)
		t.Must(err)
		m.Cut()

		want := grubtest.Boot(&c.states, func(name slot.Name) bool { return c.loads[name] })
		got := slot.Name(strings.TrimPrefix(regexp.MustCompile(`slot [AB]`).FindString(line), "slot "))
		if got != want {
			t.Errorf("%v: GRUB boots slot %q, the model %q", env, got, want)
		}
		left := decode(t, disk)
		for name, state := range left.Slots {
			if model := c.states.Slots[name]; state.Tries != model.Tries || state.OK != model.OK || left.Order != c.states.Order {
				t.Errorf("%v: GRUB leaves slot %s as %+v, the model as %+v", env, name, state, model)
			}
		}
	}
}
