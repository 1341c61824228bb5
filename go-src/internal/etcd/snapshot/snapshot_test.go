package snapshot

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// serve runs an etcd on a data directory.
func serve(t *testing.T, dir datadir.Dir, name string) (*clientv3.Client, func()) {
	t.Helper()
	config := embed.NewConfig()
	config.Dir, config.Name, config.LogLevel, config.LogOutputs = string(dir), name, "fatal", []string{"/dev/null"}
	config.UnsafeNoFsync = true
	any := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{any}, []url.URL{any}
	config.InitialCluster = config.InitialClusterFromName(name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		server.Close()
		t.Fatal("etcd does not start")
	}
	client, err := conn.Dial(conn.Config{Endpoints: []string{"http://" + server.Clients[0].Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	return client, func() {
		_ = client.Close()
		server.Close()
	}
}

// TestRestore checks that a restore loses the changes after the snapshot, and no others.
func TestRestore(t *testing.T) {
	dir := datadir.Dir(filepath.Join(t.TempDir(), "etcd"))
	client, stop := serve(t, dir, "m0")
	put := func(key string) int64 {
		t.Helper()
		response, err := client.Put(t.Context(), key, "value")
		if err != nil {
			t.Fatal(err)
		}
		return response.Header.Revision
	}
	put("a")
	revision := put("b")
	store := Store{filepath.Join(t.TempDir(), "snapshots"), 3}
	taken, _, err := store.Take(t.Context(), client, now)
	if err != nil {
		t.Fatal(err)
	}
	if taken.Revision != revision || taken.Keys != 2 || filepath.Base(taken.Path) != "etcd-20260304T050607Z-3.db" {
		t.Errorf("got %+v", taken)
	}
	late := put("late")
	r := Restoration{File: taken.Path, Name: "m0", PeerURL: "http://localhost:2380", Data: dir, Bump: Bump, Now: now}
	if _, err := r.Run(); !errors.Is(err, datadir.ErrRunning) {
		t.Errorf("while etcd runs: %v", err)
	}
	stop()
	former, err := r.Run()
	if err != nil {
		t.Fatal(err)
	}
	if there, err := datadir.Dir(former).HasData(); !there || err != nil {
		t.Errorf("the former data are not in %q", former)
	}
	client, stop = serve(t, dir, "m0")
	defer stop()
	got, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil || len(got.Kvs) != 2 || got.Header.Revision < Bump {
		t.Errorf("got %v, %v", got, err)
	}
	// A watcher of a revision that does not exist any more gets an error.
	if watch := <-client.Watch(t.Context(), "a", clientv3.WithRev(late)); !errors.Is(watch.Err(), rpctypes.ErrCompacted) {
		t.Errorf("the watcher got %v", watch.Err())
	}
	members, err := client.MemberList(t.Context())
	if err != nil || len(members.Members) != 1 {
		t.Errorf("got members %v, %v", members, err)
	}
}

func TestDamaged(t *testing.T) {
	client, stop := serve(t, datadir.Dir(t.TempDir()), "m0")
	defer stop()
	taken, _, err := Store{t.TempDir(), 1}.Take(t.Context(), client, now)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(taken.Path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		text := slices.Clone(good)
		text[i] ^= 1
		return text
	}
	for name, text := range map[string][]byte{
		"first byte": flip(0), "in the middle": flip(len(good) / 2), "of the hash": flip(len(good) - 1),
		"cut off": good[:len(good)-4096], "no hash": good[:len(good)-32], "empty": nil,
	} {
		if err := os.WriteFile(taken.Path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		dir := datadir.Dir(filepath.Join(t.TempDir(), "etcd"))
		_, err := Restoration{File: taken.Path, Name: "m0", PeerURL: "http://localhost:2380", Data: dir, Now: now}.Run()
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
		if there, _ := dir.HasData(); there {
			t.Errorf("%s: it was restored", name)
		}
	}
}

func TestPrune(t *testing.T) {
	const taken = "etcd-20260304T050607Z-9.db"
	tests := []struct {
		name             string
		keep             int
		there, want      string
		wantPrunedNumber int
	}{
		{"few", 3, "etcd-20260301T000000Z-1.db " + taken, "etcd-20260301T000000Z-1.db " + taken, 0},
		{"oldest", 2, "etcd-20260301T000000Z-7.db etcd-20260302T000000Z-2.db " + taken, "etcd-20260302T000000Z-2.db " + taken, 1},
		{"only the last", 1, "etcd-20260301T000000Z-1.db etcd-20260302T000000Z-2.db " + taken, taken, 2},
		{"clock set back", 1, "etcd-20290301T000000Z-1.db " + taken, taken, 1},
		{"files of others", 1, "etcd-20260301T000000Z-1.db.gz etcd-by-hand.db notes " + taken, "etcd-20260301T000000Z-1.db.gz etcd-20260304T050607Z-9.db etcd-by-hand.db notes", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range strings.Fields(test.there) {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			pruned, err := Store{dir, test.keep}.prune(taken)
			entries, _ := os.ReadDir(dir)
			var got []string
			for _, entry := range entries {
				got = append(got, entry.Name())
			}
			if err != nil || strings.Join(got, " ") != test.want || len(pruned) != test.wantPrunedNumber {
				t.Errorf("got %q, pruned %q, %v", got, pruned, err)
			}
		})
	}
}

func TestTakeRefused(t *testing.T) {
	client, stop := serve(t, datadir.Dir(t.TempDir()), "m0")
	dir := t.TempDir()
	if _, _, err := (Store{dir, 0}).Take(t.Context(), client, now); err == nil {
		t.Error("keep none: no error")
	}
	lock, err := Store{dir, 1}.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Store{dir, 1}).Take(t.Context(), client, now); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("two at a time: %v", err)
	}
	lock.Close()
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, err := (Store{dir, 1}).Take(ctx, client, now); err == nil {
		t.Error("no etcd: no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}
