package locksmith

import (
	"testing"
	"time"

	"coreos/internal/host/window"
	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/semaphore"
)

func mustWindow(t *testing.T, start, length string) *window.Window {
	t.Helper()
	w, err := window.Parse(start, length)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A bubble's time begins on a Saturday, 2000-01-01, at midnight UTC.
func TestWindow(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.Window = mustWindow(t, "Sun 02:00", "1h")
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "which opens at 2000-01-02 02:00")
		w.wantHolders("")
		w.after(25*time.Hour + 59*time.Minute)
		w.want(0, coordinator.RebootPlanned, "window")
		w.after(time.Minute)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

// The machine gets the lock after the window has closed. It releases the lock and waits.
func TestWindowClosesWhileWaitingForTheLock(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.Window = mustWindow(t, "00:00", "1h")
		_ = w.sem.Lock("m2", semaphore.Holder{})
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "held by m2")
		w.after(2 * time.Hour)
		w.change(func() { _ = w.sem.Unlock("m2") })
		w.after(time.Hour)
		w.want(0, coordinator.RebootPlanned, "2000-01-02 00:00")
		w.wantHolders("")
		w.after(21 * time.Hour)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

// The window closes after the machine has taken the lock. It releases the lock and waits.
func TestWindowClosesWhileHoldingTheLock(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.Window = mustWindow(t, "00:00", "2m")
		w.people = 1
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "logged in on 1 terminals")
		w.wantHolders("m1")
		w.after(logoutTime)
		w.want(0, coordinator.RebootPlanned, "2000-01-02 00:00")
		w.wantHolders("")
	})(t)
}

// A clock that jumps into the window opens it within half a minute. A clock that jumps back
// closes it again.
func TestClockJumps(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.Window = mustWindow(t, "12:00", "1h")
		_ = w.sem.Lock("m2", semaphore.Holder{})
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "2000-01-01 12:00")
		w.skew.Store(int64(12 * time.Hour))
		w.after(recheck)
		w.want(0, coordinator.RebootPlanned, "held by m2")
		w.skew.Store(int64(-365 * 24 * time.Hour))
		w.after(recheck)
		w.want(0, coordinator.RebootPlanned, "1999-01-01 12:00")
		w.change(func() { _ = w.sem.Unlock("m2") })
		w.after(recheck)
		w.want(0, coordinator.RebootPlanned, "1999-01-01 12:00")
		w.wantHolders("")
		w.skew.Store(int64(12 * time.Hour))
		w.after(recheck)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}
