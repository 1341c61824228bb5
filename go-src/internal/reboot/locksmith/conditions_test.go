package locksmith

import (
	"errors"
	"testing"

	"coreos/internal/reboot/coordinator"
)

func TestInhibitors(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.set(func() { w.inhibitors = []string{"backup (it runs)"} })
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "backup (it runs)")
		w.wantHolders("")
		w.set(func() { w.inhibitors = nil })
		// An inhibitor that appears after the check is found by logind. Other machines get
		// the lock meanwhile.
		w.set(func() { w.rebootErr = errors.New("blocked by inhibitor lock") })
		w.after(recheck)
		w.want(0, coordinator.RebootPlanned, "does not restart: blocked by inhibitor")
		w.wantHolders("")
		if w.drains != 1 || w.resumes != 1 {
			t.Errorf("drained %d times, resumed %d times", w.drains, w.resumes)
		}
		w.set(func() { w.rebootErr = nil })
		w.after(retry)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

func TestDrainFails(t *testing.T) {
	in(EtcdLock, func(t *testing.T, w *world) {
		w.set(func() { w.drainErr = errors.New("hook 10-drain: exit status 1: the database is busy") })
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "the database is busy")
		w.wantHolders("")
		if w.resumes != 1 {
			t.Errorf("resumed %d times", w.resumes)
		}
		w.set(func() { w.drainErr = nil })
		w.after(retryHooks)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}
