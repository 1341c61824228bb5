package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// member writes the data of a member: the version of its cluster, "" for none, and a log with one entry.
func member(t *testing.T, version string, entry []byte) Dir {
	t.Helper()
	d := Dir(t.TempDir())
	if err := os.MkdirAll(filepath.Join(d.member(), "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(d.member(), "snap", "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if version == "" {
			return nil
		}
		bucket, err := tx.CreateBucket([]byte("cluster"))
		if err != nil {
			return err
		}
		return bucket.Put([]byte("clusterVersion"), []byte(version))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Create(zap.NewNop(), filepath.Join(d.member(), "wal"), nil)
	if err != nil {
		t.Fatal(err)
	}
	state := &raftpb.HardState{Term: proto.Uint64(1), Commit: proto.Uint64(1)}
	entries := []*raftpb.Entry{{Term: proto.Uint64(1), Index: proto.Uint64(1), Data: entry}}
	if err := errors.Join(log.Save(state, entries), log.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCanTakeOver(t *testing.T) {
	// Requests of etcd 2 begin with a number, those of etcd 3 with a header.
	old := []byte("\x08\x07\x12\x03PUT\x1a\x0a/0/version\x22\x053.4.0")
	now, err := proto.Marshal(&etcdserverpb.InternalRaftRequest{Header: &etcdserverpb.RequestHeader{ID: 7}, Put: &etcdserverpb.PutRequest{Key: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	etcd2 := member(t, "", old)
	if err := os.Remove(filepath.Join(etcd2.member(), "snap", "db")); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		data Dir
		want bool
	}{
		"nothing":                        {Dir(t.TempDir()), true},
		"no directory":                   {"/none", true},
		"of etcd 2":                      {etcd2, false},
		"of etcd 3.4":                    {member(t, "3.4.0", old), false},
		"of etcd 3.5":                    {member(t, "3.5.0", old), false},
		"a restored snapshot of 3.4":     {member(t, "3.4.0", now), true},
		"of etcd 3.6":                    {member(t, "3.6.0", now), true},
		"of this etcd":                   {member(t, "3.7.0", now), true},
		"of a member that never started": {member(t, "", now), true},
	} {
		if err := test.data.CanTakeOver(); errors.Is(err, ErrTooOld) == test.want || (err == nil) != test.want {
			t.Errorf("%s: %v", what, err)
		}
	}
	damaged := member(t, "3.4.0", old)
	if err := os.WriteFile(filepath.Join(damaged.member(), "snap", "db"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := damaged.CanTakeOver(); err == nil || errors.Is(err, ErrTooOld) {
		t.Errorf("damaged: %v", err)
	}
}
