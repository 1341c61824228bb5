package membership_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"coreos/test/fleettest"
)

const (
	id  = "0123456789abcdef0123456789abcdef"
	ttl = 30 * time.Second
)

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

// TestWarnings counts the warnings of a machine that cannot join for ten minutes.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t)
		etcd := fleettest.NewEtcd()
		etcd.Alarm(rpctypes.ErrNoSpace)
		m := newMachine(t, etcd, "1")
		defer m.start()()
		time.Sleep(10*time.Minute - time.Second)
		etcd.Alarm(rpctypes.ErrCorrupt) // another error is logged at once
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if full, corrupt := strings.Count(log.String(), "database space exceeded"), strings.Count(log.String(), "corrupt cluster"); full != 10 || corrupt != 1 {
			t.Errorf("%d and %d warnings, want 10 and 1:\n%s", full, corrupt, log)
		}
	})
}
