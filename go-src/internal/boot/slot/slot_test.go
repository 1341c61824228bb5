package slot

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"coreos/internal/boot/grubenv"
)

// memory is a store that keeps the block as the disk does and counts writes.
type memory struct {
	block  []byte
	writes int
	err    error // of reading
}

func newMemory(t testing.TB, env grubenv.Env) *memory {
	t.Helper()
	block, err := env.Format()
	if err != nil {
		t.Fatal(err)
	}
	return &memory{block: block}
}

func (m *memory) Read() (grubenv.Env, error) {
	if m.err != nil {
		return nil, m.err
	}
	return grubenv.Parse(m.block)
}

func (m *memory) Write(env grubenv.Env) error {
	block, err := env.Format()
	if err == nil {
		m.block = block
		m.writes++
	}
	return err
}

// env makes the variables of ORDER and the two slots, each "TRIES OK WHY".
func env(order, a, b string) grubenv.Env {
	e := grubenv.Env{"ORDER": order}
	for name, text := range map[string]string{"A": a, "B": b} {
		fields := append(strings.Fields(text), "")
		e[name+"_TRIES"], e[name+"_OK"], e[name+"_WHY"] = fields[0], fields[1], fields[2]
	}
	return e
}

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

func mustRead(t *testing.T, store Store) grubenv.Env {
	t.Helper()
	e, err := store.Read()
	if err != nil {
		t.Fatal(err)
	}
	return e
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

func TestDestroyedBlockIsMadeAnew(t *testing.T) {
	store := &memory{block: make([]byte, grubenv.Size)}
	states, err := Load(store)
	if err != nil {
		t.Fatal(err)
	}
	if states.Next() != A || states.Decide(A, true) != Proven || states.Decide(A, false) != Stay {
		t.Errorf("a destroyed block does not count as an empty one: %v", states)
	}
	if err := MarkGood(store, A); err != nil {
		t.Fatal(err)
	}
	if got, want := mustRead(t, store), env("A B", "3 1", "0 0"); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// Also by a change that changes nothing of an empty block.
	store = &memory{block: make([]byte, grubenv.Size)}
	if err := Note(store, B, ""); err != nil {
		t.Fatal(err)
	}
	if got, want := mustRead(t, store), env("A B", "0 0", "0 0"); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadErrorsWriteNothing(t *testing.T) {
	broken := errors.New("I/O error")
	store := newMemory(t, env("A B", "3 1", "0 0"))
	store.err = broken
	if _, err := Load(store); !errors.Is(err, broken) {
		t.Errorf("Load: got error %v, want %v", err, broken)
	}
	if err := MarkGood(store, B); !errors.Is(err, broken) {
		t.Errorf("MarkGood: got error %v, want %v", err, broken)
	}
	if store.writes != 0 {
		t.Error("written without having been read")
	}
}

func TestStateAlwaysFits(t *testing.T) {
	for name, why := range map[string]string{
		"plain":        strings.Repeat("x", 1000),
		"escapes":      strings.Repeat("\n", 1000),
		"letters of 2": strings.Repeat("ä", 1000),
		"letters of 3": strings.Repeat("€", 1000),
		"not UTF-8":    strings.Repeat("\xff", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemory(t, env("A B", "3 1", "3 1"))
			for _, n := range []Name{A, B} {
				for range 2 {
					if err := MarkBad(store, n, why); err != nil {
						t.Fatal(err)
					}
				}
			}
			if store.writes != 2 {
				t.Errorf("%d writes, want 2", store.writes)
			}
			states, err := Load(store)
			if err != nil {
				t.Fatal(err)
			}
			got := states.Slots[B].Why
			if !strings.HasPrefix(why, got) || utf8.ValidString(why) && len(got) < maxWhy-3 || !utf8.ValidString(got) {
				t.Errorf("reason became %q", got)
			}
		})
	}
}

func TestForeignVariablesGiveWay(t *testing.T) {
	e := env("A B", "2 0", "3 1")
	e["foreign"] = strings.Repeat("x", 400)
	store := newMemory(t, e)
	if err := Note(store, A, "unhealthy:x"); err != nil {
		t.Fatal(err)
	}
	if mustRead(t, store)["foreign"] == "" {
		t.Error("a foreign variable was dropped that had room")
	}
	if err := MarkBad(store, A, strings.Repeat("x", maxWhy)); err != nil {
		t.Fatalf("no room beside foreign variables: %v", err)
	}
	if got, want := mustRead(t, store), env("A B", "0 0 "+strings.Repeat("x", maxWhy), "3 1"); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("A B", "3", "1", "", "0", "0", "boot-kernel", "new")
	f.Add("B A", "9", "yes", "\n", "-1", "", "\\", "")
	f.Fuzz(func(t *testing.T, order, aTries, aOK, aWhy, bTries, bOK, bWhy, why string) {
		e := grubenv.Env{"ORDER": order, "A_TRIES": aTries, "A_OK": aOK, "A_WHY": aWhy, "B_TRIES": bTries, "B_OK": bOK, "B_WHY": bWhy}
		states := decode(e)
		for _, n := range []Name{A, B} {
			if s := states.Slots[n]; s.Tries < 0 || s.Tries > MaxTries {
				t.Errorf("slot %s has %d tries", n, s.Tries)
			}
		}
		if got := states.Next(); (aOK == "0" || aOK == "1") && (bOK == "0" || bOK == "1") && string(got) != grubOrder(e)[:1] {
			t.Errorf("next is %s, GRUB boots %s", got, grubOrder(e))
		}
		block, err := e.Format()
		if err != nil {
			return
		}
		store := &memory{block: block}
		for _, change := range []func() error{
			func() error { return MarkBad(store, A, why) },
			func() error { return Fail(store, B, why) },
			func() error { return Note(store, A, why) },
			func() error { return SetNext(store, B) },
			func() error { return MarkGood(store, B) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
		if after, err := Load(store); err != nil || after.Next() != B || !after.Slots[B].OK {
			t.Errorf("ended as %v, %v", after, err)
		}
	})
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
