package membership_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/membership"
	"coreos/internal/fleet/store"
	"coreos/test/fleettest"
)

const (
	id  = "0123456789abcdef0123456789abcdef"
	ttl = 30 * time.Second
)

// machine is a machine whose daemon the test can start, end and cut off.
type machine struct {
	*fleettest.Client
	file string // the LeaseFile; a reboot removes it
	boot string
	up   time.Time // when it booted
	ttl  time.Duration

	mu      sync.Mutex
	leases  []clientv3.LeaseID // of all times that it has joined
	session context.Context    // of the last time
	left    []time.Time
}

func newMachine(t *testing.T, etcd *fleettest.Etcd, boot string) *machine {
	return &machine{Client: etcd.NewClient(1), file: filepath.Join(t.TempDir(), "lease"), boot: boot, up: time.Now(), ttl: ttl}
}

// start runs the daemon. The returned function ends it and waits for that.
func (m *machine) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	boot, up := m.boot, m.up
	p := &membership.Member{
		Store: store.New(m.Client, store.DefaultPrefix), ID: id, TTL: m.ttl, LeaseFile: m.file,
		Describe: func() store.Machine { return store.Machine{PublicIP: "10.0.0." + boot, Boot: boot} },
		Now:      func() time.Duration { return time.Since(up) },
	}
	go func() {
		defer close(done)
		p.Run(ctx, func(session context.Context, lease clientv3.LeaseID) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.leases, m.session = append(m.leases, lease), session
		}, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.left = append(m.left, time.Now())
		})
	}()
	return func() { cancel(); <-done }
}

// settle forgets the calls of left so far. A daemon without a LeaseFile calls it at the start, for
// the units of an earlier run.
func (m *machine) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = nil
}

// leave returns how often left was called since settle.
func (m *machine) leave() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.left)
}

// joined returns how often the machine has joined, and whether it is in the cluster now.
func (m *machine) joined() (times int, now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.leases), m.session != nil && m.session.Err() == nil
}

// record returns the machine's record in etcd and its lease; zero values if there is none.
func record(t *testing.T, etcd *fleettest.Etcd) (store.Machine, clientv3.LeaseID) {
	t.Helper()
	records := store.New(etcd.NewClient(2), store.DefaultPrefix)
	answer, err := records.Get(context.Background(), records.Machine(id))
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Kvs) == 0 {
		return store.Machine{}, 0
	}
	is, err := store.Decode[store.Machine](answer.Kvs[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	return is, clientv3.LeaseID(answer.Kvs[0].Lease)
}

// log keeps log output.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// logged returns the log output of the test from now on.
func logged(t *testing.T) *log {
	l, before := &log{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(l, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return l
}

func TestTwoMachinesWithOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t)
		etcd := fleettest.NewEtcd()
		first, second := newMachine(t, etcd, "1"), newMachine(t, etcd, "2")
		stopFirst := first.start()
		time.Sleep(7 * time.Second)
		first.settle()
		stopSecond := second.start()
		defer stopSecond()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if times, _ := second.joined(); times != 0 {
			t.Fatal("the second machine has joined")
		}
		if times, now := first.joined(); times != 1 || !now || first.leave() > 0 {
			t.Errorf("the first was disturbed: joined %d times, left %d times", times, first.leave())
		}
		if want := "another machine with the ID " + id + ` is in the cluster, at \"10.0.0.1\"`; !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}

		stopFirst()
		time.Sleep(ttl + 5*time.Second)
		synctest.Wait()
		if _, now := second.joined(); !now {
			t.Errorf("the second has not joined after the first was gone:\n%s", log)
		}
		if is, _ := record(t, etcd); is.Boot != "2" {
			t.Errorf("the record is %+v", is)
		}
	})
}

func TestRestartKeepsTheLease(t *testing.T) {
	for name, c := range map[string]struct {
		away             time.Duration // how long the daemon does not run
		damage           func(*machine)
		same, calledLeft bool // the lease after the restart; whether left is called for the units
	}{
		"at once":          {away: 0, same: true},
		"shortly":          {away: ttl / 2, same: true},
		"for too long":     {away: 2 * ttl, calledLeft: true},
		"file is gone":     {damage: func(m *machine) { _ = os.Remove(m.file) }, calledLeft: true},
		"file is damaged":  {damage: func(m *machine) { _ = os.WriteFile(m.file, []byte("x"), 0o600) }, calledLeft: true},
		"etcd is not back": {away: time.Second, same: true, damage: func(m *machine) { m.Cut(true); time.AfterFunc(15*time.Second, func() { m.Cut(false) }) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logged(t)
				etcd := fleettest.NewEtcd()
				m := newMachine(t, etcd, "1")
				stop := m.start()
				time.Sleep(11 * time.Second) // the last renewal was a second ago
				stop()
				m.settle()
				time.Sleep(c.away)
				if c.damage != nil {
					c.damage(m)
				}
				defer m.start()()
				time.Sleep(ttl)
				synctest.Wait()
				if times, now := m.joined(); times != 2 || !now {
					t.Fatalf("joined %d times, now %v", times, now)
				}
				if same := m.leases[0] == m.leases[1]; same != c.same {
					t.Errorf("the same lease: %v", same)
				}
				if calledLeft := m.leave() > 0; calledLeft != c.calledLeft {
					t.Errorf("left was called: %v", calledLeft)
				}
				if _, lease := record(t, etcd); lease != m.leases[1] {
					t.Errorf("the record is on lease %x, the machine on %x", lease, m.leases[1])
				}
			})
		})
	}
}

// TestLeaseFile checks that the LeaseFile has the lease from the moment on when the machine has joined.
func TestLeaseFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged(t)
		etcd := fleettest.NewEtcd()
		m := newMachine(t, etcd, "1")
		is := func(what string, want bool) {
			t.Helper()
			synctest.Wait()
			lease, until := membership.Recall(m.file)
			if is := lease != 0 && until > time.Since(m.up); is != want {
				t.Errorf("%s: lease %x until %s", what, lease, until)
			}
		}
		stop := m.start()
		time.Sleep(time.Second)
		is("joined", true)
		stop()
		is("the daemon has ended", true)
		defer m.start()()
		m.Cut(true)
		time.Sleep(ttl - 3*time.Second)
		is("cut off", true)
		time.Sleep(4 * time.Second)
		is("cut off for the lease's time", false)
		m.Cut(false)
		time.Sleep(10 * time.Second)
		is("joined again", true)
	})
}

// TestCutOff cuts machines off at many moments between two renewals. The lease must not end before
// the machine has called left.
func TestCutOff(t *testing.T) {
	for at := ttl; at < ttl+11*time.Second; at += 700 * time.Millisecond {
		t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logged(t)
				etcd := fleettest.NewEtcd()
				m := newMachine(t, etcd, "1")
				defer m.start()()
				time.Sleep(at)
				m.settle()
				m.Cut(true)
				for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
					if _, lease := record(t, etcd); lease == 0 {
						break
					}
					if time.Since(begin) > 2*ttl {
						t.Fatal("the lease does not end")
					}
				}
				synctest.Wait()
				if left := m.leave(); left != 1 {
					t.Errorf("cut off %s after the start: the lease has ended, left was called %d times", at, left)
				}
				if _, now := m.joined(); now {
					t.Error("the session goes on")
				}
				m.Cut(false)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if times, now := m.joined(); times != 2 || !now {
					t.Errorf("joined %d times, now %v", times, now)
				}
			})
		})
	}
}

// TestRevoked revokes the lease behind the machine's back.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged(t)
		etcd := fleettest.NewEtcd()
		m := newMachine(t, etcd, "1")
		defer m.start()()
		time.Sleep(time.Second)
		m.settle()
		if _, err := etcd.NewClient(3).Revoke(context.Background(), m.leases[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl/3 + time.Second)
		synctest.Wait()
		if times, now := m.joined(); times != 2 || !now || m.leave() != 1 {
			t.Errorf("joined %d times, now %v, left %d times", times, now, m.leave())
		}
	})
}

// TestReboot restarts the machine before its lease has ended.
func TestReboot(t *testing.T) {
	for _, away := range []time.Duration{0, 5 * time.Second, ttl - 2*time.Second, 2 * ttl} {
		synctest.Test(t, func(t *testing.T) {
			logged(t)
			etcd := fleettest.NewEtcd()
			m := newMachine(t, etcd, "1")
			stop := m.start()
			time.Sleep(11 * time.Second)
			stop()
			time.Sleep(away)
			if err := os.Remove(m.file); err != nil {
				t.Fatal(err)
			}
			m.boot, m.up = "2", time.Now()
			begin := time.Now()
			defer m.start()()
			for {
				if times, _ := m.joined(); times == 2 {
					break
				}
				if time.Since(begin) > ttl {
					t.Fatalf("away for %s: not joined %s later", away, ttl)
				}
				time.Sleep(100 * time.Millisecond)
			}
			took := time.Since(begin)
			t.Logf("away for %s: joined after %s", away, took)
			if most := max(ttl/3+6*time.Second-away, 2*time.Second); took > most {
				t.Errorf("away for %s: joined after %s, want %s at most", away, took, most)
			}
			if is, lease := record(t, etcd); is.Boot != "2" || lease != m.leases[1] || m.leases[0] == m.leases[1] {
				t.Errorf("record %+v on %x, leases %x", is, lease, m.leases)
			}
		})
	}
}

// TestLateJoin lets a machine join late: etcd has restarted and has given the lease of the last boot
// its full time again, and the machine has waited to see that no other machine has its ID. It must
// stay in the cluster.
func TestLateJoin(t *testing.T) {
	for _, ttl := range []time.Duration{3 * time.Second, 6 * time.Second, 10 * time.Second, 15 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { lateJoin(t, ttl) })
		})
	}
}

func lateJoin(t *testing.T, ttl time.Duration) {
	log := logged(t)
	etcd := fleettest.NewEtcd()
	m := newMachine(t, etcd, "1")
	m.ttl = ttl
	stop := m.start()
	time.Sleep(time.Second / 2)
	stop()
	if err := os.Remove(m.file); err != nil {
		t.Fatal(err)
	}
	m.boot, m.up = "2", time.Now()
	m.Cut(true)
	defer m.start()()
	for range 20 {
		time.Sleep(time.Second)
		if _, err := etcd.NewClient(3).KeepAliveOnce(context.Background(), m.leases[0]); err != nil {
			t.Fatal(err)
		}
	}
	m.Cut(false)
	m.Disturb(200*time.Millisecond, 0)
	for times := 1; times < 2; times, _ = m.joined() {
		time.Sleep(100 * time.Millisecond)
	}
	m.settle()
	time.Sleep(time.Minute)
	synctest.Wait()
	if times, now := m.joined(); times != 2 || !now || m.leave() > 0 {
		t.Errorf("joined %d times, now %v, left %d times:\n%s", times, now, m.leave(), log)
	}
}
