package slotwriter

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"coreos/internal/boot/slot"
)

func TestRun(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			m := s.machine(1)
			j := s.job(m)
			var last Progress
			j.Report = func(p Progress) {
				if p.Fetched < last.Fetched || p.Fetched > p.Total && p.Total > 0 && p.State != Downloading {
					t.Errorf("progress %+v after %+v", p, last)
				}
				last = p
			}
			if err := j.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if last.State != Finalizing || last.Fetched != last.Total {
				t.Errorf("the last progress is %+v", last)
			}
			m.restart() // what was not synced is lost
			states, err := slot.Load(m.env)
			if b := states.Slots[slot.B]; err != nil || states.Next() != slot.B || b.Tries != slot.MaxTries || b.OK {
				t.Errorf("%+v, %v: slot B should be next, on trial", states, err)
			}
			m.wantBoot(t, s.new, s.versions()...)
		})
	}
}

// TestPowerCuts cuts the power before every write and every sync of an update, and in
// the middle of each write. The machine must come up with one of the two versions, whole,
// and the update must then succeed.
func TestPowerCuts(t *testing.T) {
	var points atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d power cuts", points.Load())
		if points.Load() < 1000 {
			t.Errorf("%d power cuts are fewer than 1,000", points.Load())
		}
	})
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := s.machine(1)
			if err := s.job(m).Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			for cut := range m.operations {
				for seed := range uint64(7) {
					s.setUp(m, seed)
					s.cut(t, m, cut+1)
					points.Add(1)
				}
			}
		})
	}
}

func (s scenario) cut(t *testing.T, m *simMachine, cut int) {
	t.Helper()
	m.cut = cut
	if err := s.job(m).Run(context.Background()); !errors.Is(err, errPowerCut) {
		t.Fatalf("cut %d: error %v", cut, err)
	}
	m.restart()
	// Even as its last resort GRUB must not load a boot image that belongs to another /usr.
	if v := m.loads(slot.B, s.versions()); v != nil && !holds(m.slots[slot.B].Usr, v.usr) {
		t.Fatalf("cut %d: slot B can be loaded with half a /usr", cut)
	}
	n, v, err := m.boot(s.versions()...)
	if err != nil {
		t.Fatalf("cut %d: %v", cut, err)
	}
	if n == slot.B {
		// The switch had reached the disk.
		if v != s.new {
			t.Fatalf("cut %d: slot B came up with version %s", cut, v.manifest.Version)
		}
		return
	}
	if err := s.job(m).Run(context.Background()); err != nil {
		t.Fatalf("cut %d: the update was not completed: %v", cut, err)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
}

// An interrupted update fetches only what it had not fetched.
func TestResume(t *testing.T) {
	s := scenarios()[1]
	whole := s.machine(1)
	var all Progress
	j := s.job(whole)
	j.Report = func(p Progress) { all = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Before the boot image is sealed everything but its first block is there.
	m := s.machine(1)
	m.cut = whole.operations - 2
	if err := s.job(m).Run(context.Background()); !errors.Is(err, errPowerCut) {
		t.Fatal(err)
	}
	m.restart()
	var rest Progress
	j = s.job(m)
	j.Report = func(p Progress) { rest = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	overhead := s.new.manifest.Usr.Tree.Size + s.new.manifest.Boot.Tree.Size
	if rest.Fetched-overhead > (all.Fetched-overhead)/4 {
		t.Errorf("%d bytes were fetched again, of %d at first", rest.Fetched-overhead, all.Fetched-overhead)
	}
}

// rebuilt is an update to a version in which nearly all blocks differ a little.
func rebuilt(server server) scenario {
	running := newVersion("2.0.0", blocks(sequence(0, 3)), random(64))
	later := newVersion("3.0.0", blocks(sequence(10, 13)), edited(random(64)))
	return scenario{running: running, new: later.patchedFrom(running), server: server}
}
