package machine

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/host/privsep/privseptest"
	"coreos/internal/update/slotwriter"
)

// slots are two slots in files.
type slots struct {
	dir   string
	mu    sync.Mutex
	env   grubenv.Env
	calls []string
	err   error
}

func (s *slots) Slots() ([]slot.Report, error) {
	return []slot.Report{{Slot: slot.A, Version: "1.0.0", Running: true}, {Slot: slot.B, Why: "empty"}}, nil
}
func (s *slots) RunningSlot() slot.Name                { return slot.A }
func (s *slots) Change(f func(slot.Store) error) error { return f(s) }
func (s *slots) Keep() error                           { return s.called("keep") }
func (s *slots) LoadNext() error                       { return s.called("load") }
func (s *slots) OpenPartition(label string, flag int) (*disk.Partition, error) {
	return disk.OpenPartition(filepath.Join(s.dir, label), flag)
}

func (s *slots) called(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
	return nil
}

func (s *slots) Read() (grubenv.Env, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.env), nil
}

func (s *slots) Write(env grubenv.Env) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env = maps.Clone(env)
	return nil
}

// set makes opening the machine fail.
func (s *slots) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *slots) open() (Slots, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.err
}

func newMachine(t *testing.T) (*slots, Machine) {
	s := &slots{dir: t.TempDir(), env: grubenv.Env{"ORDER": "A B", "A_OK": "1", "A_TRIES": "3", "B_OK": "1", "B_TRIES": "3"}}
	for _, p := range partitions(slot.A) {
		if err := os.WriteFile(filepath.Join(s.dir, p.label), []byte(p.label), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, Machine{privseptest.Listen(t, Actions(s.open))}
}

func TestChoice(t *testing.T) {
	s, m := newMachine(t)
	if err := m.Invalidate(); err != nil {
		t.Fatal(err)
	}
	states, err := slot.Load(s)
	if err != nil || states.Slots[slot.B] != (slot.State{Why: slotwriter.Updating}) || !states.Slots[slot.A].OK || states.Next() != slot.A {
		t.Errorf("%+v, %v", states, err)
	}
	if err := m.Choose(); err != nil {
		t.Fatal(err)
	}
	states, err = slot.Load(s)
	if err != nil || states.Next() != slot.B || states.Slots[slot.B].OK || !states.Slots[slot.A].OK {
		t.Errorf("%+v, %v", states, err)
	}
	if err := errors.Join(m.Keep(), m.LoadNext()); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	if !slices.Equal(s.calls, []string{"keep", "load"}) {
		t.Error(s.calls)
	}
	s.mu.Unlock()
	reports, err := m.Slots()
	if err != nil || len(reports) != 2 || !reports[0].Running || reports[0].Version != "1.0.0" || reports[1].Why != "empty" {
		t.Errorf("%+v, %v", reports, err)
	}
}

func TestOpen(t *testing.T) {
	_, m := newMachine(t)
	running, own, to, err := m.open(context.Background())
	if err != nil || running != slot.A {
		t.Fatal(running, err)
	}
	defer closePairs(own, to)
	for label, p := range map[string]*disk.Partition{"BOOT-A": own.boot, "USR-A": own.usr, "BOOT-B": to.boot, "USR-B": to.usr} {
		text := make([]byte, p.Size())
		if _, err := p.ReadAt(text, 0); err != nil || string(text) != label {
			t.Errorf("%s has %q, %v", label, text, err)
		}
		_, err := p.WriteAt([]byte("x"), 0)
		if writable := p == to.boot || p == to.usr; (err == nil) != writable {
			t.Errorf("%s: writing: %v", label, err)
		}
	}
}

// TestErrors has a machine that does not know its slots.
func TestErrors(t *testing.T) {
	s, m := newMachine(t)
	gone := errors.New("the disk is gone")
	s.set(gone)
	_, slotsErr := m.Slots()
	_, _, _, openErr := m.open(context.Background())
	for i, err := range []error{slotsErr, openErr, m.Keep(), m.LoadNext(), m.Invalidate(), m.Choose()} {
		if err == nil || err.Error() != gone.Error() {
			t.Error(i, err)
		}
	}
	if err := os.Remove(filepath.Join(s.dir, "USR-B")); err != nil {
		t.Fatal(err)
	}
	s.set(nil)
	if _, _, _, err := m.open(context.Background()); err == nil {
		t.Error("a partition is missing")
	}
}
