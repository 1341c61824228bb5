package locksmith

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/update/status"
)

func TestWaitsForTheLock(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		_ = w.sem.Lock("m2", semaphore.Holder{})
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "held by m2")
		w.after(24 * time.Hour)
		w.want(0, coordinator.RebootPlanned, "held by m2")
		w.change(func() { _ = w.sem.Unlock("m2") })
		poke(w.semChanged)
		synctest.Wait()
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

// A machine whose id another one has does not touch the lock, which that one may hold.
func TestMachineIDTwice(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		var twice atomic.Bool
		twice.Store(true)
		w.Twice = func() (string, bool) { return "node2", twice.Load() }
		_ = w.sem.Lock("m1", semaphore.Holder{Host: "node2", BootID: "boot2", Why: semaphore.Update, From: "1.0.0", To: "2.0.0"})
		w.start()
		synctest.Wait()
		w.want(0, coordinator.Running, "another machine, node2, has the id m1, too: empty /etc/machine-id")
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "another machine, node2, has the id m1, too")
		w.set(func() {
			if h, held := w.sem.Holds("m1"); !held || h.Host != "node2" {
				w.t.Errorf("the lock of the other machine: %+v, %t", h, held)
			}
		})
		twice.Store(false)
		w.after(time.Minute)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

func TestThoseAheadGoFirst(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		w.machines = []lock.Machine{{ID: "m3", Turn: 1}, {ID: "m2", Turn: 2}, {ID: "m1", Turn: 3}}
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "2 machines are ahead")
		// The others do not take the lock: after their time it is this machine's turn.
		w.after(2*stagger - time.Second)
		w.want(0, coordinator.RebootPlanned, "ahead")
		w.after(2 * time.Second)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

// Without etcd the machine does not restart, not after an hour nor a day, and the status
// says why.
func TestNoRestartWithoutEtcd(t *testing.T) {
	in(EtcdLock, func(_ *testing.T, w *world) {
		w.start()
		w.change(func() { w.lockErr = errors.New("etcd at [http://127.0.0.1:2379]: context deadline exceeded") })
		w.need("2.0.0")
		for _, d := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
			w.after(d)
			w.want(0, coordinator.RebootPlanned, "no restart without the lock: etcd at [http://127.0.0.1:2379]")
		}
		w.change(func() { w.lockErr = nil })
		w.after(retry)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}

func TestSteal(t *testing.T) {
	for name, test := range map[string]struct {
		after   time.Duration
		holder  semaphore.Holder
		present bool
		stolen  bool
	}{
		"gone":           {time.Hour, semaphore.Holder{BootID: "b"}, false, true},
		"not configured": {0, semaphore.Holder{BootID: "b"}, false, false},
		"there":          {time.Hour, semaphore.Holder{BootID: "b"}, true, false},
		"failed":         {time.Hour, semaphore.Holder{FailedVersion: "1", Failed: "panic"}, false, false},
		"by hand":        {time.Hour, semaphore.Holder{Why: semaphore.ByHand}, false, false},
	} {
		t.Run(name, in(EtcdLock, func(t *testing.T, w *world) {
			w.StealAfter = test.after
			_ = w.sem.Lock("m2", test.holder)
			w.sem.Details["m2"] = test.holder
			if test.present {
				w.machines = []lock.Machine{{ID: "m2"}}
			}
			w.start()
			w.need("2.0.0")
			w.skew.Store(int64(365 * 24 * time.Hour)) // a clock that jumps steals nothing
			w.after(59 * time.Minute)
			w.want(0, coordinator.RebootPlanned, "m2")
			w.after(2 * time.Minute)
			if w.reboots != map[bool]int{true: 1}[test.stolen] {
				t.Errorf("%d reboots", w.reboots)
			}
		}))
	}
}

// Of five machines with one lock each restarts once, never two at the same time.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newWorld(t, EtcdLock)
		down, most := 0, 0
		for i := range 5 {
			w := newWorld(t, EtcdLock)
			w.Daemon.ID = fmt.Sprintf("m%d", i)
			w.Daemon.Lock = lockOf{first}
			w.onDrain = func() {
				first.mu.Lock()
				down++
				most = max(most, down)
				first.mu.Unlock()
				time.Sleep(time.Minute)
				first.mu.Lock()
				down--
				first.mu.Unlock()
			}
			w.start()
			w.need("2.0.0")
			go func() { // the restart, which succeeds
				<-w.rebooted
				w.stop()
				time.Sleep(time.Minute)
				w.Daemon.BootID = "boot2"
				w.change(func() { w.update = status.Status{Version: "2.0.0", Proven: true} })
				w.start()
			}()
			defer func() {
				w.stop()
				if w.reboots != 1 {
					t.Errorf("machine %d: %d restarts", i, w.reboots)
				}
			}()
		}
		first.after(time.Hour)
		if most != 1 {
			t.Errorf("%d machines were down at the same time", most)
		}
		first.wantHolders("")
	})
}
