package membership_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/membership"
	"coreos/internal/fleet/store"
	"coreos/test/fleettest"
)

// machine is a machine whose daemon the test can start, end and cut off.
type machine struct {
	*fleettest.Client
	file string // the LeaseFile; a reboot removes it
	boot string
	ip   string    // of its record; "" for 10.0.0. and the boot
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
	boot, up, ip := m.boot, m.up, m.ip
	if ip == "" {
		ip = "10.0.0." + boot
	}
	p := &membership.Member{
		Store: store.New(m.Client, store.DefaultPrefix), ID: id, TTL: m.ttl, LeaseFile: m.file,
		Describe: func() store.Machine { return store.Machine{PublicIP: ip, Boot: boot} },
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

// ran runs the daemon for a time that ends a second after a renewal.
func (m *machine) ran() {
	stop := m.start()
	time.Sleep(11 * time.Second)
	stop()
	m.settle()
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
