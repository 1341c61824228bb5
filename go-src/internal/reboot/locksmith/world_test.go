package locksmith

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
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
func (w *world) Changed() <-chan struct{}               { return w.changed }
func (w *world) RunsEtcd(context.Context) (bool, error) { return true, nil }
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

func (w *world) Reboot(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
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

// start runs the daemon. need lets update-engine report that the machine needs a restart.
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

// in returns a test that runs f with a machine in a bubble, whose clock stands still while
// something runs, and ends the machine's daemon.
func in(strategy Strategy, f func(*testing.T, *world)) func(*testing.T) {
	return func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, strategy)
			f(t, w)
			w.stop()
		})
	}
}
