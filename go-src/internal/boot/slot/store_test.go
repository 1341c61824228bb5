package slot

import (
	"errors"
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

func mustRead(t *testing.T, store Store) grubenv.Env {
	t.Helper()
	e, err := store.Read()
	if err != nil {
		t.Fatal(err)
	}
	return e
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

// TestStampStays has a block that is full of other variables.
func TestStampStays(t *testing.T) {
	for stamp, want := range map[string]string{"2026.11.28.21.4.5": "2026.11.28.21.4.5", strings.Repeat("x", maxStamp+1): ""} {
		e := env("A B", "2 0", "3 1")
		e["STAMP"] = stamp
		e["foreign"] = strings.Repeat("x", 390-len(stamp))
		store := newMemory(t, e)
		if got, err := Stamp(store); got != stamp || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if err := MarkBad(store, A, strings.Repeat("x", maxWhy)); err != nil {
			t.Fatal(err)
		}
		if got, err := Stamp(store); got != want || err != nil || mustRead(t, store)["foreign"] != "" {
			t.Errorf("after another variable gave way: %q, %v", got, err)
		}
	}
	if got, err := Stamp(newMemory(t, grubenv.Env{})); got != "" || err != nil {
		t.Errorf("of a disk that no GRUB has booted: %q, %v", got, err)
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

func TestGiveBack(t *testing.T) {
	for tries, want := range map[string]int{"0": 1, "2": 3, "3": 3} {
		store := newMemory(t, env("A B", tries+" 0", "3 1"))
		if err := GiveBack(store, A); err != nil {
			t.Fatal(err)
		}
		if states, err := Load(store); err != nil || states.Slots[A].Tries != want {
			t.Errorf("%s tries became %d, %v", tries, states.Slots[A].Tries, err)
		}
	}
}
