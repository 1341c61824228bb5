package locksmith

import (
	"errors"
	"testing"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/status"
)

// TestAfterTheRestart checks what the daemon does with the lock after a restart.
func TestAfterTheRestart(t *testing.T) {
	held := semaphore.Holder{Why: semaphore.Update, From: "1.0.0", To: "2.0.0", BootID: "boot0"}
	with := func(f func(*semaphore.Holder)) semaphore.Holder {
		h := held
		f(&h)
		return h
	}
	for name, test := range map[string]struct {
		holder semaphore.Holder
		update status.Status
		keeps  bool
		failed string // version
		text   string
	}{
		"succeeded":    {held, status.Status{Version: "2.0.0", Proven: true}, false, "", "no restart"},
		"not proven":   {held, status.Status{Version: "2.0.0"}, true, "", "not proven"},
		"rolled back":  {held, status.Status{Version: "1.0.0", Proven: true, Refused: map[string]string{"2.0.0": "unhealthy:90-shop"}}, true, "2.0.0", "version 2.0.0 failed here: unhealthy:90-shop"},
		"set aside":    {held, status.Status{Version: "1.0.0", Proven: true, Refused: map[string]string{"2.0.0": status.SetAside}}, false, "", "no restart"},
		"not followed": {held, status.Status{Version: "1.0.0", Proven: true, Refused: map[string]string{"2.0.0": status.NotFollowed}}, true, "2.0.0", "version 2.0.0 failed here: loader-did-not-follow"},
		"another one":  {held, status.Status{Version: "1.0.0", Proven: true}, true, "2.0.0", "runs version 1.0.0 instead"},
		"known failed": {with(func(h *semaphore.Holder) { h.FailedVersion, h.Failed = "2.0.0", "panic" }), status.Status{Version: "1.0.0", Proven: true}, true, "2.0.0", "failed here: panic"},
		"newer one succeeded": {
			with(func(h *semaphore.Holder) { h.To, h.FailedVersion, h.Failed = "3.0.0", "2.0.0", "panic" }), status.Status{Version: "3.0.0", Proven: true}, false, "", "no restart"},
		"newer one failed": {
			with(func(h *semaphore.Holder) { h.To, h.FailedVersion, h.Failed = "3.0.0", "2.0.0", "panic" }),
			status.Status{Version: "1.0.0", Proven: true, Refused: map[string]string{"3.0.0": "oops"}}, true, "3.0.0", "failed here: oops"},
		"person's restart":         {semaphore.Holder{Why: semaphore.Reboot, BootID: "boot0"}, status.Status{Version: "1.0.0", Proven: true}, false, "", "no restart"},
		"person's restart to come": {semaphore.Holder{Why: semaphore.Reboot, BootID: "boot1"}, status.Status{Version: "1.0.0", Proven: true}, true, "", "a person restarts"},
		"by hand":                  {semaphore.Holder{Why: semaphore.ByHand}, status.Status{Version: "1.0.0", Proven: true}, true, "", "locked by hand"},
		"upstream's":               {semaphore.Holder{}, status.Status{Version: "1.0.0", Proven: true}, false, "", "no restart"},
		"withdrawn, daemon's end":  {with(func(h *semaphore.Holder) { h.BootID = "boot1" }), status.Status{Version: "1.0.0", Proven: true}, false, "", "no restart"},
	} {
		t.Run(name, in(EtcdLock, func(t *testing.T, w *world) {
			_ = w.sem.Lock("m1", test.holder)
			w.sem.Details["m1"] = test.holder
			w.update = test.update
			w.update.Operation = status.Idle
			w.start()
			w.after(time.Hour)
			w.want(0, coordinator.Running, test.text)
			h, keeps := w.sem.Holds("m1")
			if keeps != test.keeps || h.FailedVersion != test.failed {
				t.Errorf("%s", w.sem)
			}
		}))
	}
}

// The daemon ended while it held the lock. The new daemon continues.
func TestDaemonStartsAnewWithTheLock(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		_ = w.sem.Lock("m1", semaphore.Holder{Why: semaphore.Update, To: "2.0.0", BootID: "boot1"})
		w.start()
		w.need("2.1.0")
		w.want(1, coordinator.Rebooting, "")
		if h := w.held(); h.To != "2.1.0" {
			t.Errorf("%s", w.sem)
		}
	})(t)
}

// The machine does not try a version that failed on another machine. It tries the next one.
func TestBadReleaseStops(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		_, _ = w.sem.SetMax(3)
		_ = w.sem.Lock("m2", semaphore.Holder{Host: "node2", To: "2.0.0"})
		_ = w.sem.Fail("m2", "unhealthy:90-shop")
		w.start()
		w.need("2.0.0")
		w.after(24 * time.Hour)
		w.want(0, coordinator.RebootPlanned, "version 2.0.0 failed on node2 (m2): unhealthy:90-shop")
		w.need("2.0.1")
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

// The version fails elsewhere while this machine has the lock, but has not restarted.
func TestBadReleaseStopsAtTheLastMoment(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		_, _ = w.sem.SetMax(2)
		_ = w.sem.Lock("m2", semaphore.Holder{To: "2.0.0"})
		w.people = 1
		w.start()
		w.need("2.0.0")
		w.wantHolders("m1 m2")
		w.change(func() { _ = w.sem.Fail("m2", "panic") })
		w.after(logoutTime)
		w.want(0, coordinator.RebootPlanned, "failed on m2: panic")
		w.wantHolders("m2")
	})(t)
}

// A machine on which a version failed tries a newer version. It keeps the lock if it does
// not restart.
func TestFailedMachineKeepsTheLockForOthers(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		_ = w.sem.Lock("m1", semaphore.Holder{To: "2.0.0", BootID: "boot0"})
		_ = w.sem.Fail("m1", "panic")
		w.set(func() { w.drainErr = errors.New("busy") })
		w.start()
		w.need("2.0.1")
		w.want(0, coordinator.RebootPlanned, "busy")
		w.wantHolders("m1")
		if h := w.held(); h.FailedVersion != "2.0.0" {
			t.Errorf("%s", w.sem)
		}
	})(t)
}
