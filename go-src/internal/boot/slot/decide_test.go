package slot

import "testing"

func TestDecide(t *testing.T) {
	allStates(func(order [2]Name, a, b State) {
		states := States{order, map[Name]State{A: a, B: b}}
		for _, n := range []Name{A, B} {
			if got := states.Decide(n, true); got != Proven {
				t.Errorf("healthy slot %s of %v: got %d", n, states, got)
			}
			want := Stay
			if !states.Slots[n].OK && states.Slots[n.Other()].OK {
				want = Retry
			}
			if got := states.Decide(n, false); got != want {
				t.Errorf("unhealthy slot %s of %v: got %d, want %d", n, states, got, want)
			}
		}
	})
}

func TestReason(t *testing.T) {
	if got := Reason([]string{"10-units", "20-docker"}); got != "unhealthy:10-units,20-docker" {
		t.Errorf("got %q", got)
	}
}
