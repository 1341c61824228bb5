package cluster

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	etcdcheck "coreos/internal/etcd/check"
	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/defrag"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/settings"
	"coreos/internal/etcd/snapshot"
	"coreos/test/etcdtest"
)

// fragment makes most of the databases unused.
func fragment(t *testing.T, c *etcdtest.Cluster) {
	t.Helper()
	client, ctx := c.Client(t), limit(t)
	var revision int64
	value := string(bytes.Repeat([]byte{'x'}, 1<<20))
	for range 24 {
		response, err := client.Put(ctx, "large", value)
		if err != nil {
			t.Fatal(err)
		}
		revision = response.Header.Revision
	}
	if _, err := client.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

// TestDefrag defragments all members of a cluster at the same time, as their timers do.
func TestDefrag(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	fragment(t, c)
	var mu sync.Mutex
	var said []string
	one := func(i int) *defrag.Defrag {
		return &defrag.Defrag{
			Etcd: conn.Config{Endpoints: []string{c.Endpoint(i)}}, Data: c.Member(i).DataDir(), Wait: time.Minute, Force: true,
			Say: func(format string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				t.Logf(format, args...)
				said = append(said, format)
			},
		}
	}
	var wait sync.WaitGroup
	for i := range c.Len() {
		wait.Go(func() {
			if err := one(i).Run(limit(t)); err != nil {
				t.Errorf("member %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	for i := range c.Len() {
		status, err := member.Status(limit(t), conn.Config{}, c.Endpoint(i))
		if err != nil || status.DbSize > 8<<20 {
			t.Errorf("member %d: %v, %v", i, status, err)
		}
	}
	if all := strings.Join(said, "\n"); strings.Contains(all, "WARNING") || !strings.Contains(all, "leads the cluster now") {
		t.Errorf("said:\n%s", all)
	}
	held, err := c.Client(t).Get(limit(t), defrag.Key, clientv3.WithPrefix())
	if err != nil || len(held.Kvs) != 0 {
		t.Errorf("the lock is still held: %v, %v", held, err)
	}

	t.Run("not worth it", func(t *testing.T) {
		said = nil
		d := one(0)
		d.Force = false
		if err := d.Run(limit(t)); err != nil || len(said) != 1 || !strings.HasPrefix(said[0], "not worth it") {
			t.Errorf("got %v, %q", err, said)
		}
	})
	t.Run("the lock is held", func(t *testing.T) {
		if _, err := c.Client(t).Put(limit(t), defrag.Key+"/1", ""); err != nil {
			t.Fatal(err)
		}
		d := one(0)
		d.Wait = time.Second
		if err := d.Run(limit(t)); err == nil || !strings.Contains(err.Error(), "another member has held it") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a member is gone", func(t *testing.T) {
		if err := c.Member(2).Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitHealthy(limit(t), 0, 1); err != nil {
			t.Fatal(err)
		}
		if err := one(0).Run(limit(t)); err == nil || !strings.Contains(err.Error(), "not healthy: m2") {
			t.Errorf("got %v", err)
		}
	})
}

// TestCheck checks the warnings that the operator reads as a cluster gets worse.
func TestCheck(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync(), etcdtest.Flags("--quota-backend-bytes", "40000000"))
	check := func() string {
		t.Helper()
		facts, err := etcdcheck.Collect(limit(t), conn.Config{Endpoints: []string{c.Endpoint(0)}}, new(settings.Settings), c.Member(0).DataDir(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		text := etcdcheck.Status(etcdcheck.Decide(facts))
		t.Log(text)
		return text
	}
	if got := check(); !strings.HasPrefix(got, "3 of 3 members are well") {
		t.Errorf("well: %s", got)
	}
	client, value := c.Client(t, c.Endpoint(0)), string(bytes.Repeat([]byte{'x'}, 1<<20))
	// The file grows when a batch of writes is committed, each 0.1 s.
	got := ""
	for range 60 {
		if _, err := client.Put(limit(t), "large", value); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
		if got = check(); !strings.HasPrefix(got, "3 of 3") {
			break
		}
	}
	if !regexp.MustCompile(`^WARNING: the database has [89]\d %`).MatchString(got) {
		t.Errorf("near the quota: %s", got)
	}
	for range 20 {
		if _, err := client.Put(limit(t), "large", value); err != nil {
			break
		}
	}
	if got := check(); !strings.HasPrefix(got, "ALARM: etcd takes no writes") {
		t.Errorf("at the quota: %s", got)
	}
	d := &defrag.Defrag{Etcd: conn.Config{Endpoints: []string{c.Endpoint(0)}}, Force: true, Say: t.Logf}
	if err := d.Run(limit(t)); err == nil || !strings.Contains(err.Error(), "--without-lock") {
		t.Errorf("defrag at the quota: %v", err)
	}
	if d.WithoutLock = true; d.Run(limit(t)) != nil {
		t.Error("defrag without a lock fails at the quota")
	}
	for _, i := range []int{1, 2} {
		if err := c.Member(i).Kill(); err != nil {
			t.Fatal(err)
		}
	}
	// It leads until it notices.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if got := check(); strings.HasPrefix(got, "ALARM: the cluster has no leader") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("no quorum: %s", got)
		}
	}
	if err := c.Member(0).Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := etcdcheck.Collect(limit(t), conn.Config{Endpoints: []string{c.Endpoint(0)}}, new(settings.Settings), "", time.Now()); err == nil {
		t.Error("no error without etcd")
	}
}

// TestDisaster loses a cluster, restores its snapshot on one machine, and has another
// machine join.
func TestDisaster(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 2, etcdtest.NoFsync())
	put(t, c, 0, "key", "value")
	store := snapshot.Store{Dir: t.TempDir(), Keep: 1}
	taken, _, err := store.Take(limit(t), c.Client(t, c.Endpoint(1)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Len() {
		if err := c.Member(i).Kill(); err != nil {
			t.Fatal(err)
		}
	}
	r := snapshot.Restoration{
		File: taken.Path, Name: "m0", PeerURL: c.Member(0).PeerURL(), Data: datadir.Dir(c.Member(0).DataDir()), Bump: snapshot.Bump, Now: time.Now(),
	}
	former, err := r.Run()
	if err != nil || filepath.Dir(former) != c.Member(0).DataDir()+"-former" {
		t.Fatal(former, err)
	}
	if err := c.Member(0).Start(); err != nil {
		t.Fatal(err)
	}
	config := conn.Config{Endpoints: []string{c.Endpoint(0)}}
	if cluster := waitWell(t, config); len(cluster.Members) != 1 {
		t.Fatalf("got members %v", cluster.Members)
	}
	m := newMachine(t, c.Member(1))
	join := m.replacement("", "m1", []string{c.Endpoint(0)})
	if err := join.Run(limit(t)); err != nil {
		t.Fatal(err)
	}
	if cluster := waitWell(t, config); len(cluster.Members) != 2 {
		t.Errorf("got members %v", cluster.Members)
	}
	got, err := c.Client(t, c.Endpoint(1)).Get(limit(t), "key")
	if err != nil || len(got.Kvs) != 1 || got.Header.Revision < snapshot.Bump {
		t.Errorf("got %v, %v", got, err)
	}
}
