package membership_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/membership"
	"coreos/internal/fleet/store"
	"coreos/test/fleettest"
)

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
				m.ran()
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

// TestRestartDuringAlarm restarts the daemon while etcd has an alarm: it renews leases, and takes no
// records. The machine stays in the cluster, and its record is written when the alarm is over.
func TestRestartDuringAlarm(t *testing.T) {
	for _, alarm := range []error{rpctypes.ErrNoSpace, rpctypes.ErrCorrupt} {
		t.Run(alarm.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := logged(t)
				etcd := fleettest.NewEtcd()
				m := newMachine(t, etcd, "1")
				m.ran()
				etcd.Alarm(alarm)
				m.ip = "10.0.0.2" // the record changes with the restart
				defer m.start()()
				time.Sleep(4 * ttl)
				synctest.Wait()
				if times, now := m.joined(); times != 2 || !now || m.leave() > 0 {
					t.Fatalf("joined %d times, now %v, left %d times:\n%s", times, now, m.leave(), log)
				}
				etcd.Alarm(nil)
				if is, lease := record(t, etcd); lease != m.leases[0] || is.PublicIP != "10.0.0.1" {
					t.Fatalf("the record before the end of the alarm: %+v on %x", is, lease)
				}
				time.Sleep(ttl / 2)
				synctest.Wait()
				if is, lease := record(t, etcd); lease != m.leases[0] || is.PublicIP != "10.0.0.2" {
					t.Errorf("the record after the alarm: %+v on %x", is, lease)
				}
			})
		})
	}
}

// TestRecordOfAnotherLease has etcd's alarm hide that another lease has the machine's record: the
// machine leaves as soon as it sees that.
func TestRecordOfAnotherLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged(t)
		etcd := fleettest.NewEtcd()
		m := newMachine(t, etcd, "1")
		m.ran()
		other := etcd.NewClient(3)
		granted, err := other.Grant(context.Background(), 600)
		if err != nil {
			t.Fatal(err)
		}
		records := store.New(other, store.DefaultPrefix)
		if _, err := other.Put(context.Background(), records.Machine(id), store.Encode(store.Machine{Boot: "3"}), clientv3.WithLease(granted.ID)); err != nil {
			t.Fatal(err)
		}
		etcd.Alarm(rpctypes.ErrCorrupt)
		defer m.start()()
		time.Sleep(ttl)
		etcd.Alarm(nil)
		time.Sleep(ttl / 2)
		synctest.Wait()
		if times, now := m.joined(); times != 2 || now || m.leave() != 1 {
			t.Errorf("joined %d times, now %v, left %d times", times, now, m.leave())
		}
	})
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

// TestReboot restarts the machine before its lease has ended.
func TestReboot(t *testing.T) {
	for _, away := range []time.Duration{0, 5 * time.Second, ttl - 2*time.Second, 2 * ttl} {
		synctest.Test(t, func(t *testing.T) {
			logged(t)
			etcd := fleettest.NewEtcd()
			m := newMachine(t, etcd, "1")
			m.ran()
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
