package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"coreos/internal/boot/slot"
	"coreos/internal/update/omaha"
	"coreos/internal/update/status"
)

// installed returns a world whose machine has installed 1.1.0, and the daemon that did it.
func installed(t *testing.T) (*world, *Daemon) {
	t.Helper()
	w := newWorld(t)
	w.publish("1.1.0", "")
	d := w.machine()
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	return w, d
}

// restart restarts the machine into the slot that runs, whichever one is next.
func (w *world) restart() *Daemon {
	w.t.Helper()
	w.reboots++
	d := w.machine()
	w.settle(d)
	return d
}

func TestRollback(t *testing.T) {
	w, _ := installed(t)
	w.omaha.Events()
	d := w.boot(false)
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
	_, err := d.Attempt(context.Background(), true)
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
		restarted      bool
		want           outcome
	}{
		"not restarted":         {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B, Next: true, Tries: 3}, false, open},
		"on trial":              {slot.Report{Slot: slot.B, Version: "2"}, slot.Report{Slot: slot.A}, true, open},
		"proven":                {slot.Report{Slot: slot.B, Version: "2", OK: true}, slot.Report{Slot: slot.A}, true, succeeded},
		"out of tries":          {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B}, true, rolledBack},
		"chosen by hand":        {slot.Report{Slot: slot.A, OK: true, Next: true}, slot.Report{Slot: slot.B, Tries: 2}, true, setAside},
		"before the restart":    {slot.Report{Slot: slot.A, OK: true, Next: true}, slot.Report{Slot: slot.B, Tries: 3}, false, setAside},
		"chosen in GRUB's menu": {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B, Next: true, Tries: 2}, true, setAside},
		"loader stays behind":   {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B, Next: true, Tries: 3}, true, notFollowed},
	} {
		if got := outcomeOf(pending, test.running, test.other, test.restarted); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// The boot loader starts the running slot again, and takes no try from the next one. The
// machine must not be restarted for ever.
func TestLoaderDoesNotFollow(t *testing.T) {
	w, _ := installed(t)
	w.omaha.Events()
	w.wantOperation(w.machine(), status.Idle, "") // before it settles
	d := w.machine()
	w.settle(d)
	w.wantOperation(d, status.NeedReboot, "1.1.0") // only the daemon was restarted
	d = w.restart()
	w.wantOperation(d, status.Idle, "")
	w.wantEvents("complete error 1.1.0 loader-did-not-follow")
	if got := d.Status().Refused["1.1.0"]; got != "loader-did-not-follow" {
		t.Errorf("refused because of %q", got)
	}
	if _, err := d.Attempt(context.Background(), false); !errors.Is(err, ErrNotFollowed) {
		t.Errorf("error %v", err)
	}
	reports, err := w.Slots()
	if err != nil || !reports[0].Next {
		t.Errorf("slot A should be next: %+v, %v", reports, err)
	}
	// On command it is tried again, once.
	_, err = d.Attempt(context.Background(), true)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	d = w.restart()
	w.wantOperation(d, status.Idle, "")
}

// An engine of before, that did not note in which boot it installed, gets one restart.
func TestLoaderDoesNotFollowAnOlderEngine(t *testing.T) {
	w, d := installed(t)
	d.state.Pending.Boot = ""
	w.must(d.state.write(d.dir))
	d = w.machine()
	w.settle(d)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	d = w.restart()
	w.wantOperation(d, status.Idle, "")
}

// A machine whose boot state cannot be read does not restart to see whether that helps.
func TestBootStateCannotBeRead(t *testing.T) {
	w, _ := installed(t)
	w.reboots++
	w.damaged = true
	d := w.machine()
	if err := d.Settle(); err == nil {
		t.Error("it settled")
	}
	_, err := d.Attempt(context.Background(), false)
	if err == nil || d.Status().LastError != err.Error() {
		t.Errorf("error %v, the status says %q", err, d.Status().LastError)
	}
	w.wantOperation(d, status.Idle, "")
}

// Somebody boots the old slot by hand. That says nothing against the release, but the
// machine does not go back to it by itself.
func TestOldSlotByHand(t *testing.T) {
	w, _ := installed(t)
	w.omaha.Events()
	w.must(w.change(func(s slot.Store) error { // the new slot boots, is not proven yet, and somebody goes back
		return errors.Join(slot.Take(s, slot.B), slot.SetNext(s, slot.A))
	}))
	d := w.restart()
	events := w.omaha.Events()
	if len(events) != 1 || events[0].Result != omaha.EventDeferred || events[0].ErrorCode != codeSetAside || events[0].Reason != "set-aside-by-hand" {
		t.Errorf("events %+v", events)
	}
	w.wantOperation(d, status.Idle, "")
	if _, err := d.Attempt(context.Background(), false); !errors.Is(err, ErrSetAside) {
		t.Errorf("error %v", err)
	}
	want := "# HELP update_engine_rolled_back_versions How many versions were rolled back on this machine.\n# TYPE update_engine_rolled_back_versions gauge\nupdate_engine_rolled_back_versions 0\n"
	if err := testutil.CollectAndCompare(Metrics{d.Status}, strings.NewReader(want), "update_engine_rolled_back_versions"); err != nil {
		t.Error(err)
	}
	w.publish("1.2.0", "")
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.2.0")
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
