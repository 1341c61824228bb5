package slot

import (
	"testing"

	"coreos/internal/boot/grubenv"
)

// grubOrder does what boot_order, try_slot and last_resort of
// board/coreos/grub.cfg do: it returns the slots in the order in which GRUB tries
// to boot them.
func grubOrder(env grubenv.Env) string {
	order := "AB"
	if env["ORDER"] == "B A" {
		order = "BA"
	}
	var slots string
	for _, s := range order {
		switch env[string(s)+"_TRIES"] {
		case "3", "2", "1":
			slots += string(s)
		}
	}
	for _, ok := range []string{"1", "0", ""} {
		for _, s := range order {
			if env[string(s)+"_OK"] == ok {
				slots += string(s)
			}
		}
	}
	return slots
}

// TestNextIsGrubs compares with grub.cfg for every combination, among them
// values that nobody writes.
func TestNextIsGrubs(t *testing.T) {
	tries := []string{"", "0", "1", "2", "3", "4", "-1", "+3", "03", "3 ", "x"}
	for _, order := range []string{"", "A B", "B A", "B", "b a", "B A ", "B,A", "x"} {
		for _, aTries := range tries {
			for _, bTries := range tries {
				for _, ok := range []string{"00", "01", "10", "11"} { // of A, of B
					e := grubenv.Env{"ORDER": order, "A_TRIES": aTries, "B_TRIES": bTries, "A_OK": ok[:1], "B_OK": ok[1:]}
					if got, want := decode(e).Next(), grubOrder(e)[:1]; string(got) != want {
						t.Errorf("%q: next is %s, GRUB boots %s", e, got, want)
					}
				}
			}
		}
	}
	if got, want := decode(grubenv.Env{}).Next(), grubOrder(grubenv.Env{})[:1]; string(got) != want {
		t.Errorf("without variables: next is %s, GRUB boots %s", got, want)
	}
}

// allStates calls f with every state that Linux and GRUB can leave.
func allStates(f func(order [2]Name, a, b State)) {
	var states []State
	for tries := range MaxTries + 1 {
		for _, ok := range []bool{false, true} {
			for _, why := range []string{"", "usr-mount"} {
				states = append(states, State{tries, ok, why})
			}
		}
	}
	for _, order := range [][2]Name{{A, B}, {B, A}} {
		for _, a := range states {
			for _, b := range states {
				f(order, a, b)
			}
		}
	}
}

func TestSetNextBootsThatSlot(t *testing.T) {
	allStates(func(order [2]Name, a, b State) {
		for _, n := range []Name{A, B} {
			e := grubenv.Env{}
			States{order, map[Name]State{A: a, B: b}}.encode(e)
			store := newMemory(t, e)
			if err := SetNext(store, n); err != nil {
				t.Fatal(err)
			}
			states, err := Load(store)
			if err != nil || states.Next() != n {
				t.Errorf("%v, %v, %v: next is %s after SetNext %s, %v", order, a, b, states.Next(), n, err)
			}
		}
	})
}
