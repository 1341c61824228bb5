package locksmith

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/status"
)

func TestRestartsWithTheLock(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.start()
		w.want(0, coordinator.Running, "no restart is needed")
		w.need("2.0.0")
		w.want(1, coordinator.Rebooting, "restarts")
		w.wantHolders("m1")
		if h := w.held(); h.Host != "node1" || h.From != "1.0.0" || h.To != "2.0.0" || h.BootID != "boot1" || h.Why != semaphore.Update {
			t.Errorf("holder %+v", h)
		}
		// A machine that does not go down tries again, with the lock.
		w.after(shutdownTime + time.Second)
		w.want(2, coordinator.Rebooting, "restarts")
	})(t)
}

func TestStrategies(t *testing.T) {
	for strategy, lock := range map[Strategy]bool{Reboot: false, EtcdLock: true, BestEffort: true} {
		t.Run(string(strategy), in(strategy, func(t *testing.T, w *world) {
			w.start()
			w.need("2.0.0")
			w.want(1, coordinator.Rebooting, "")
			if (w.takes > 0) != lock {
				t.Errorf("the lock was changed %d times", w.takes)
			}
		}))
	}
}

func TestUpdateEngineIsAway(t *testing.T) {
	in(Reboot, func(_ *testing.T, w *world) {
		w.updateErr = errors.New("update-engine: not found")
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.Running, "not known: update-engine")
		w.change(func() { w.updateErr = nil })
		synctest.Wait()
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

// The update is withdrawn while the machine waits, or while it holds the lock.
func TestUpdateIsWithdrawn(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		w.people = 1
		w.start()
		w.need("2.0.0")
		w.wantHolders("m1")
		w.change(func() { w.update.Operation, w.update.NewVersion = status.Idle, "" })
		w.after(logoutTime)
		w.want(0, coordinator.Running, "no restart is needed")
		w.wantHolders("")
	})(t)
}
