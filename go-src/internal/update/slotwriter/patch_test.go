package slotwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"coreos/internal/boot/bootimage/imagetest"
	"coreos/internal/boot/slot"
	"coreos/internal/boot/verity"
	"coreos/internal/update/payload"
)

// A patch is taken where it is shorter, and nothing else is fetched then.
func TestPatch(t *testing.T) {
	for _, server := range []server{multiple, single, whole} {
		s := rebuilt(server)
		last := s.update(t)
		usr, boot := s.new.manifest.Usr, s.new.manifest.Boot
		most := usr.Patches[0].Size + usr.Tree.Size + payload.IndexSize(usr.Blocks) + boot.Tree.Size + boot.Payload.Size
		if last.Fetched > most || last.Fetched != last.Total {
			t.Errorf("%+v, want at most %d bytes", last, most)
		}
	}
}

// update updates a machine, which must boot the new version then, and returns the last progress.
func (s scenario) update(t *testing.T) (last Progress) {
	t.Helper()
	return s.updateOn(t, s.machine(1))
}

func (s scenario) updateOn(t *testing.T, m *simMachine) (last Progress) {
	t.Helper()
	j := s.job(m)
	j.Report = func(p Progress) { last = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
	return last
}

// large is an update to a version that has nothing in common with the one that runs, and
// whose whole stream is in several parts.
func large() scenario {
	running := newVersion("2.0.0", blocks(sequence(0, 3)), blocks(sequence(0, 3)))
	text := random(40)
	later := newVersion("3.0.0", blocks(sequence(10, 13)), bytes.Join([][]byte{text, text, text}, nil))
	return scenario{running: running, new: later.withWhole()}
}

// edited changes a byte in every third block.
func edited(b []byte) []byte {
	for i := 100; i < len(b); i += 3 * verity.BlockSize {
		b[i] ^= 1
	}
	return b
}

// A patch that is of no use costs bytes, not the update.
func TestBadPatch(t *testing.T) {
	lost := errors.New("connection lost")
	for name, spoil := range map[string]func(size, offset int64, b []byte) error{
		"index":    func(_, offset int64, b []byte) error { return flip(b, 5-offset) },
		"segment":  func(size, offset int64, b []byte) error { return flip(b, size-20-offset) },
		"all":      func(_, _ int64, b []byte) error { clear(b); return nil },
		"lost":     func(int64, int64, []byte) error { return lost },
		"cut":      func(_, offset int64, _ []byte) error { return map[bool]error{true: lost}[offset > 0] },
		"its dict": func(_, offset int64, b []byte) error { return flip(b, 3-offset) },
	} {
		for _, server := range []server{multiple, single, whole} {
			t.Run(fmt.Sprintf("%s, %v", name, server), func(t *testing.T) {
				s := rebuilt(server)
				m := s.machine(1)
				j := s.job(m)
				asked := false
				j.Files = server.of(badFiles{s.new, func(name string, offset int64, b []byte) error {
					if !strings.HasSuffix(name, ".patch") {
						return nil
					}
					asked = true
					return spoil(s.new.manifest.Usr.Patches[0].Size, offset, b)
				}})
				var last Progress
				j.Report = func(p Progress) { last = p }
				if err := j.Run(context.Background()); err != nil {
					t.Fatal(err)
				}
				if !asked || last.Fetched != last.Total && name != "cut" {
					t.Errorf("asked for the patch: %v; %+v", asked, last)
				}
				m.restart()
				m.wantBoot(t, s.new, s.versions()...)
			})
		}
	}
}

func flip(b []byte, at int64) error {
	if at >= 0 && at < int64(len(b)) {
		b[at] ^= 0x55
	}
	return nil
}

// The update takes the content of the slot from the hash tree in it. It finds out if the
// tree is wrong.
func TestReplaced(t *testing.T) {
	bootable := func(name string, data []byte) *version {
		boot, _ := imagetest.Slot(t, name, data)
		return newVersion(name, append(boot, make([]byte, -len(boot)&(verity.BlockSize-1))...), data)
	}
	s := scenario{older: bootable("1.0.0", random(40)), running: bootable("2.0.0", random(50)), new: bootable("3.0.0", edited(random(50)))}
	for name, test := range map[string]struct {
		spoil func(m *simMachine, usr []byte)
		known bool
	}{
		"whole":      {func(*simMachine, []byte) {}, true},
		"updating":   {func(m *simMachine, _ []byte) { clear(m.slots[slot.B].Boot.(*simPartition).cache[:512]) }, false},
		"wrong tree": {func(_ *simMachine, usr []byte) { usr[s.older.root.TreeOffset()+50] ^= 1 }, false},
		"wrong data": {func(_ *simMachine, usr []byte) { clear(usr[:20*verity.BlockSize]) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := s.machine(1)
			test.spoil(m, m.slots[slot.B].Usr.(*simPartition).cache)
			j := s.job(m)
			if tree := j.replaced(); (tree != nil) != test.known {
				t.Errorf("the tree of what is replaced is known: %v", tree != nil)
			}
			if err := j.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			m.restart()
			m.wantBoot(t, s.new, s.versions()...)
		})
	}
}
