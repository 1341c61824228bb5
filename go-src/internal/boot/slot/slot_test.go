package slot

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"coreos/internal/boot/grubenv"
)

func TestParseName(t *testing.T) {
	for text, want := range map[string]Name{"A": A, "a": A, "B": B, "b": B} {
		if got, err := ParseName(text); got != want || err != nil {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "C", "AB", " A", "USR-A"} {
		if _, err := ParseName(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestLabels(t *testing.T) {
	if A.Other() != B || B.Other() != A {
		t.Error("each slot is the other's other")
	}
	if got := A.BootLabel() + " " + B.UsrLabel(); got != "BOOT-A USR-B" {
		t.Errorf("got labels %s", got)
	}
}

func TestChanges(t *testing.T) {
	tests := []struct {
		name  string
		apply func(Store, Name) error
		want  func(State) State // of the slot that is changed
		first bool              // the slot becomes the first of the order
	}{
		{"MarkGood", MarkGood, func(State) State { return State{Tries: 3, OK: true} }, false},
		{"MarkBad", func(s Store, n Name) error { return MarkBad(s, n, "operator") },
			func(State) State { return State{Why: "operator"} }, false},
		{"Fail", func(s Store, n Name) error { return Fail(s, n, "usr-mount") },
			func(s State) State { return State{OK: s.OK, Why: "usr-mount"} }, false},
		{"Note", func(s Store, n Name) error { return Note(s, n, "unhealthy:x") },
			func(s State) State { return State{s.Tries, s.OK, "unhealthy:x"} }, false},
		{"SetNext", SetNext, func(s State) State { return State{Tries: 3, OK: s.OK} }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			allStates(func(order [2]Name, a, b State) {
				for _, n := range []Name{A, B} {
					before := States{order, map[Name]State{A: a, B: b}}
					want := States{order, map[Name]State{A: a, B: b}}
					want.Slots[n] = test.want(want.Slots[n])
					if test.first {
						want.Order = [2]Name{n, n.Other()}
					}
					checkChange(t, test.apply, n, before, want)
				}
			})
		})
	}
}

// checkChange applies a change twice: the first time it writes only if it makes a
// difference, the second time it makes none.
func checkChange(t *testing.T, apply func(Store, Name) error, n Name, before, want States) {
	t.Helper()
	e := grubenv.Env{"foreign": "kept"}
	before.encode(e)
	store := newMemory(t, e)
	if err := apply(store, n); err != nil {
		t.Fatalf("%v: %v", before, err)
	}
	got, err := Load(store)
	if err != nil {
		t.Fatal(err)
	}
	if !got.equal(want) {
		t.Errorf("slot %s of %v: got %v, want %v", n, before, got, want)
	}
	writes := 1
	if before.equal(want) {
		writes = 0
	}
	if store.writes != writes {
		t.Errorf("slot %s of %v: %d writes, want %d", n, before, store.writes, writes)
	}
	if err := apply(store, n); err != nil || store.writes != writes {
		t.Errorf("slot %s of %v: changed again to the same: %d writes, error %v", n, before, store.writes-writes, err)
	}
	if after, _ := store.Read(); after["foreign"] != "kept" {
		t.Errorf("slot %s of %v: foreign variable lost: %q", n, before, after)
	}
}

// TestLife follows an update whose new slot never becomes healthy.
func TestLife(t *testing.T) {
	store := newMemory(t, env("A B", "3 1", "0 0"))
	grub := func() Name { // takes a try and boots
		e, err := store.Read()
		if err != nil {
			t.Fatal(err)
		}
		states := decode(e)
		n := states.Next()
		state := states.Slots[n]
		state.Tries = max(0, state.Tries-1)
		states.Slots[n] = state
		states.encode(e)
		if err := store.Write(e); err != nil {
			t.Fatal(err)
		}
		return n
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(SetNext(store, B))
	var boots []Name
	for range 5 {
		n := grub()
		boots = append(boots, n)
		states, err := Load(store)
		must(err)
		switch action := states.Decide(n, n == A); action {
		case Proven:
			must(MarkGood(store, n))
		case Retry:
			must(Note(store, n, Reason([]string{"docker"})))
		default:
			t.Errorf("slot %s stays up", n)
		}
	}
	if got := fmt.Sprint(boots); got != "[B B B A A]" {
		t.Errorf("booted %s", got)
	}
	if got, want := mustRead(t, store), env("B A", "3 1", "0 0 unhealthy:docker"); !maps.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

func TestOutOfTries(t *testing.T) {
	tests := []struct {
		name  string
		state State
		want  string
	}{
		{"tries left", State{Tries: 1, Why: "unhealthy:x"}, ""},
		{"all tries", State{Tries: MaxTries, OK: true}, ""},
		{"never written", State{Why: Empty}, ""},
		{"somebody saw why", State{OK: true, Why: "usr-mount"}, "usr-mount"},
		{"nobody saw why", State{}, NoTrace},
	}
	for _, test := range tests {
		states := States{[2]Name{A, B}, map[Name]State{A: {}, B: test.state}}
		if got := states.OutOfTries(B); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTake(t *testing.T) {
	store := newMemory(t, env("B A", "3 1", "1 0"))
	for _, want := range []error{nil, ErrNoTries} {
		if err := Take(store, B); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	if got := mustRead(t, store); got["B_TRIES"] != "0" || got["A_TRIES"] != "3" || got["ORDER"] != "B A" {
		t.Errorf("got %q", got)
	}
}
