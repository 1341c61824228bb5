package engine

import (
	"context"
	"errors"
	"testing"

	"coreos/internal/boot/slot"
	"coreos/internal/update/status"
)

func TestRollback(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	d := w.machine()
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.omaha.Events()
	d = w.boot(false)
	w.settle(d)
	w.wantEvents("complete error 1.1.0 unhealthy:50-shop")
	w.wantOperation(d, status.Idle, "")
	if got := d.Status().Refused["1.1.0"]; got != "unhealthy:50-shop" {
		t.Errorf("refused because of %q", got)
	}
	// The daemon does not install the version again by itself, not even after a restart of
	// the daemon.
	d = w.machine()
	if _, err := d.Attempt(context.Background(), false); !errors.Is(err, ErrRolledBack) {
		t.Errorf("error %v", err)
	}
	w.wantEvents()
	// A newer one, and this one on command.
	_, err = d.Attempt(context.Background(), true)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	w.must(d.Reset(context.Background()))
	w.wantOperation(d, status.Idle, "")
	reports, err := w.Slots()
	if err != nil || !reports[0].Next {
		t.Errorf("after the reset slot A should be next: %+v, %v", reports, err)
	}
	w.publish("1.1.1", "")
	_, err = d.Attempt(context.Background(), false)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.1")
}

func TestOutcome(t *testing.T) {
	pending := &Pending{Version: "2", From: "1", Slot: slot.B}
	for name, test := range map[string]struct {
		running, other slot.Report
		want           outcome
	}{
		"not restarted":  {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B, Next: true, Tries: 3}, open},
		"on trial":       {slot.Report{Slot: slot.B, Version: "2"}, slot.Report{Slot: slot.A}, open},
		"proven":         {slot.Report{Slot: slot.B, Version: "2", OK: true}, slot.Report{Slot: slot.A}, succeeded},
		"out of tries":   {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B}, rolledBack},
		"chosen by hand": {slot.Report{Slot: slot.A, OK: true, Next: true}, slot.Report{Slot: slot.B, Tries: 2}, rolledBack},
	} {
		if got := outcomeOf(pending, test.running, test.other); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestPrepareReboot(t *testing.T) {
	for _, test := range []struct{ kexec, locked, pending, want bool }{
		{true, false, true, true},
		{true, true, true, false},
		{false, false, true, false},
		{true, false, false, false},
	} {
		w := newWorld(t)
		w.locked, w.config.Kexec = test.locked, test.kexec
		if test.pending {
			w.publish("1.1.0", "")
		}
		d := w.machine()
		_, err := d.Attempt(context.Background(), false)
		w.must(err)
		got, err := d.PrepareReboot()
		w.must(err)
		if got != test.want || (w.loads == 1) != test.want {
			t.Errorf("%+v: got %v, %d kernels loaded", test, got, w.loads)
		}
	}
}
