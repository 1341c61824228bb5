package locksmith

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/internal/reboot/window"
	"coreos/internal/update/status"
)

// world is a machine, its group's lock and its update-engine.
type world struct {
	t *testing.T
	*Daemon

	mu         sync.Mutex
	update     status.Status
	updateErr  error
	sem        *semaphore.Semaphore
	lockErr    error
	machines   []lock.Machine
	changed    chan struct{}
	semChanged chan struct{}
	rebooted   chan struct{}
	inhibitors []string
	people     int
	drainErr   error
	onDrain    func()
	rebootErr  error
	kexec      bool
	skew       atomic.Int64

	reboots, drains, resumes, takes int
	said                            []Status
	stop                            context.CancelFunc
}

func newWorld(t *testing.T, strategy Strategy) *world {
	w := &world{t: t, sem: semaphore.New(), changed: make(chan struct{}, 1), semChanged: make(chan struct{}, 1), rebooted: make(chan struct{}, 1)}
	w.update = status.Status{Version: "1.0.0", Proven: true, Operation: status.Idle}
	w.Daemon = &Daemon{
		ID: "m1", Name: "node1", BootID: "boot1", Strategy: strategy,
		Updates: w, Lock: lockOf{w}, Host: w, Tell: w.tell, Now: w.now,
	}
	return w
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *world) change(f func()) {
	w.set(f)
	poke(w.changed)
}

func (w *world) tell(s Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, s)
}

func (w *world) Status() (status.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.updateErr != nil {
		return status.Status{}, w.updateErr
	}
	return w.update, nil
}
func (w *world) Changed() <-chan struct{}                    { return w.changed }
func (w *world) PrepareReboot(context.Context) (bool, error) { return w.kexec, nil }
func (w *world) RunsEtcd(context.Context) (bool, error)      { return true, nil }
func (w *world) Inhibitors(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inhibitors, nil
}
func (w *world) Warn(_ context.Context, _ string) (int, error) { return w.people, nil }
func (w *world) Resume(context.Context)                        { w.resumes++ }
func (w *world) Drain(context.Context) error {
	if w.onDrain != nil {
		w.onDrain()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drains++
	return w.drainErr
}

func (w *world) Reboot(_ context.Context, kexec bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if kexec != w.kexec {
		w.t.Errorf("kexec %v", kexec)
	}
	if w.rebootErr == nil {
		w.reboots++
		poke(w.rebooted)
	}
	return w.rebootErr
}

// now is UTC's, so that windows are the same wherever the test runs.
func (w *world) now() time.Time {
	return time.Now().UTC().Add(time.Duration(w.skew.Load()))
}

type lockOf struct{ *world }

func (l lockOf) Get(context.Context) (*semaphore.Semaphore, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return clone(l.sem), l.lockErr
}

func (l lockOf) Change(_ context.Context, f func(*semaphore.Semaphore) error) (*semaphore.Semaphore, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lockErr != nil {
		return nil, l.lockErr
	}
	s := clone(l.sem)
	if err := f(s); err != nil {
		return s, err
	}
	l.takes++
	l.sem = s
	return clone(s), nil
}
func (l lockOf) Watch(context.Context) <-chan struct{} { return l.semChanged }
func (l lockOf) Machines(context.Context) ([]lock.Machine, error) {
	return l.machines, l.lockErr
}

// start runs the daemon; need has update-engine say that the machine needs a restart.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.stop = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		_ = w.Run(ctx)
	}()
	synctest.Wait()
}

func (w *world) need(version string) {
	w.change(func() { w.update.Operation, w.update.NewVersion = status.NeedReboot, version })
	synctest.Wait()
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func (w *world) want(reboots int, state coordinator.State, text string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.said[len(w.said)-1]
	if w.reboots != reboots || last.State != state || !strings.Contains(last.Text, text) {
		w.t.Errorf("%d reboots, %s: %q; want %d, %s: %q", w.reboots, last.State, last.Text, reboots, state, text)
	}
}

func (w *world) held() semaphore.Holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sem.Details["m1"]
}

func (w *world) wantHolders(want string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.sem.Holders, " "); got != want {
		w.t.Errorf("holders %q, want %q", got, want)
	}
}

func in(f func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

func TestRestartsWithTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

func TestStrategies(t *testing.T) {
	for strategy, lock := range map[Strategy]bool{Reboot: false, EtcdLock: true, BestEffort: true} {
		t.Run(string(strategy), in(func(t *testing.T) {
			w := newWorld(t, strategy)
			w.kexec = strategy == Reboot
			w.start()
			w.need("2.0.0")
			w.want(1, coordinator.Rebooting, "")
			if (w.takes > 0) != lock {
				t.Errorf("the lock was changed %d times", w.takes)
			}
			w.stop()
		}))
	}
}

func TestWaitsForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

func TestThoseAheadGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		w.machines = []lock.Machine{{ID: "m3", Turn: 1}, {ID: "m2", Turn: 2}, {ID: "m1", Turn: 3}}
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "2 machines are ahead")
		// They do not take it: nobody waits for a machine that does nothing.
		w.after(2*stagger - time.Second)
		w.want(0, coordinator.RebootPlanned, "ahead")
		w.after(2 * time.Second)
		w.want(1, coordinator.Rebooting, "")
		w.stop()
	})
}

// An hour without etcd, and a day: no restart, and the status says why.
func TestNoRestartWithoutEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

func TestUpdateEngineIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Reboot)
		w.updateErr = errors.New("update-engine: not found")
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.Running, "not known: update-engine")
		w.change(func() { w.updateErr = nil })
		synctest.Wait()
		w.want(1, coordinator.Rebooting, "")
		w.stop()
	})
}

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
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		w.Window = mustWindow(t, "Sun 02:00", "1h")
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "which opens at 2000-01-02 02:00")
		w.wantHolders("")
		w.after(25*time.Hour + 59*time.Minute)
		w.want(0, coordinator.RebootPlanned, "window")
		w.after(time.Minute)
		w.want(1, coordinator.Rebooting, "")
		w.stop()
	})
}

// The lock comes when the window has closed: it is given back, and not used.
func TestWindowClosesWhileWaitingForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

// And so if it closes between the lock and the restart.
func TestWindowClosesWhileHoldingTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		w.Window = mustWindow(t, "00:00", "2m")
		w.people = 1
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "logged in on 1 terminals")
		w.wantHolders("m1")
		w.after(logoutTime)
		w.want(0, coordinator.RebootPlanned, "2000-01-02 00:00")
		w.wantHolders("")
		w.stop()
	})
}

// A clock that jumps into the window opens it within half a minute, one that jumps back
// closes it again.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

func TestInhibitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		w.set(func() { w.inhibitors = []string{"backup (it runs)"} })
		w.start()
		w.need("2.0.0")
		w.want(0, coordinator.RebootPlanned, "backup (it runs)")
		w.wantHolders("")
		w.set(func() { w.inhibitors = nil })
		// One that came in between is logind's to see; others get the lock meanwhile.
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
		w.stop()
	})
}

func TestDrainFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

// The update is withdrawn while the machine waits, or while it holds the lock.
func TestUpdateIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		w.people = 1
		w.start()
		w.need("2.0.0")
		w.wantHolders("m1")
		w.change(func() { w.update.Operation, w.update.NewVersion = status.Idle, "" })
		w.after(logoutTime)
		w.want(0, coordinator.Running, "no restart is needed")
		w.wantHolders("")
		w.stop()
	})
}

// after a restart: what becomes of the lock.
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
		t.Run(name, in(func(t *testing.T) {
			w := newWorld(t, EtcdLock)
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
			w.stop()
		}))
	}
}

// The daemon was ended with the lock held: it goes on where it was.
func TestDaemonStartsAnewWithTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		_ = w.sem.Lock("m1", semaphore.Holder{Why: semaphore.Update, To: "2.0.0", BootID: "boot1"})
		w.start()
		w.need("2.1.0")
		w.want(1, coordinator.Rebooting, "")
		if h := w.held(); h.To != "2.1.0" {
			t.Errorf("%s", w.sem)
		}
		w.stop()
	})
}

// A version that failed elsewhere is not tried, the next one is.
func TestBadReleaseStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
		_, _ = w.sem.SetMax(3)
		_ = w.sem.Lock("m2", semaphore.Holder{Host: "node2", To: "2.0.0"})
		_ = w.sem.Fail("m2", "unhealthy:90-shop")
		w.start()
		w.need("2.0.0")
		w.after(24 * time.Hour)
		w.want(0, coordinator.RebootPlanned, "version 2.0.0 failed on node2 (m2): unhealthy:90-shop")
		w.need("2.0.1")
		w.want(1, coordinator.Rebooting, "")
		w.stop()
	})
}

// The version fails elsewhere while this machine has the lock, but has not restarted.
func TestBadReleaseStopsAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
}

// A machine that failed tries a newer version, but keeps the lock if that does not come
// to pass.
func TestFailedMachineKeepsTheLockForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, EtcdLock)
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
		w.stop()
	})
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
		t.Run(name, in(func(t *testing.T) {
			w := newWorld(t, EtcdLock)
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
			w.stop()
		}))
	}
}

// Five machines, one lock: each restarts once, never two at a time.
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
