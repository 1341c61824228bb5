package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"coreos/internal/boot/slot"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

func TestPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*world)
		version string
		want    error
	}{
		"older":           {func(w *world) { w.config.Version = "2.0.0" }, "1.1.0", ErrDowngrade},
		"older, allowed":  {func(w *world) { w.config.Version, w.config.AllowDowngrade = "2.0.0", true }, "1.1.0", nil},
		"pinned":          {func(w *world) { w.config.Pin = "1.0." }, "1.1.0", ErrPinned},
		"pinned to it":    {func(w *world) { w.config.Pin = "1.1." }, "1.1.0", nil},
		"minimum version": {func(w *world) { w.publish("1.2.0", "1.1.0") }, "1.2.0", ErrTooOld},
		"slot not proven": {func(w *world) {
			w.must(w.change(func(s slot.Store) error { return slot.Fail(s, slot.A, "x") }))
			w.unproven()
		}, "1.1.0", ErrUnproven},
		"not in the repository": {func(w *world) { w.offer("9.0.0") }, "9.0.0", nil},
		"from a stranger":       {func(w *world) { w.root = newWorld(w.t).root }, "1.1.0", repository.ErrWrongKey},
		"changed payload":       {func(w *world) { w.spoil("boot.zst") }, "1.1.0", slotwriter.ErrWrongBytes},
		"changed tree":          {func(w *world) { w.spoil("boot.verity") }, "1.1.0", slotwriter.ErrWrongBytes},
		"slot too small":        {func(w *world) { w.must(os.Truncate(filepath.Join(w.dir, "USR-B"), 30<<12)) }, "1.1.0", slotwriter.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("1.1.0", "")
			test.change(w)
			d := w.machine()
			_, err := d.Attempt(context.Background(), false)
			if test.want == nil && test.version != "9.0.0" {
				w.must(err)
				w.wantOperation(d, status.NeedReboot, test.version)
				return
			}
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			w.wantOperation(d, status.Idle, "")
			if d.Status().LastError == "" {
				t.Error("the status does not say why")
			}
			if reports, err := w.Slots(); err != nil || !reports[0].Next {
				t.Errorf("slot A should be next: %+v, %v", reports, err)
			}
		})
	}
}

func (w *world) unproven() {
	w.must(w.change(func(s slot.Store) error {
		if err := slot.MarkBad(s, slot.A, ""); err != nil {
			return err
		}
		return slot.SetNext(s, slot.A)
	}))
}

// spoil changes a byte of a file of version 1.1.0.
func (w *world) spoil(name string) {
	path := filepath.Join(w.repo, board, "1.1.0", name)
	text, err := os.ReadFile(path)
	w.must(err)
	text[0x20] ^= 1
	w.must(os.WriteFile(path, text, 0o644))
}
