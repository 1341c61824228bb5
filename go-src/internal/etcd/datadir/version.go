package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coreos/go-semver/semver"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Oldest is the oldest etcd whose data this etcd takes over. It reads the logs of older ones wrong.
var Oldest = semver.Version{Major: 3, Minor: 6}

// ErrTooOld says that this etcd would not understand the data.
var ErrTooOld = errors.New("this etcd does not understand the data: with the etcd that wrote them, take a snapshot (etcdctl snapshot save FILE), then run etcd-memberctl restore FILE here")

// openTime bounds the wait for the lock of the database.
const openTime = 5 * time.Second

// CanTakeOver returns an error unless this etcd can start with the data. Without data it can.
func (d Dir) CanTakeOver() error {
	logs, err := filepath.Glob(filepath.Join(d.member(), "wal", "*.wal"))
	if err != nil {
		return err
	}
	path := filepath.Join(d.member(), "snap", "db")
	_, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(logs) > 0:
		return fmt.Errorf("%s has data of etcd 2: %w", d, ErrTooOld)
	case errors.Is(err, fs.ErrNotExist) || len(logs) == 0:
		return nil // nothing was written
	case err != nil:
		return fmt.Errorf("etcd's data: %w", err)
	}
	version, err := clusterVersion(path)
	if err != nil {
		return err
	}
	if version == nil || !version.LessThan(Oldest) {
		return nil
	}
	// A snapshot of an old etcd that was restored here has the old version until etcd has started, but
	// its log is new.
	old, err := hasOldEntries(filepath.Dir(logs[0]))
	if err == nil && old {
		err = fmt.Errorf("%s has data of etcd %d.%d: %w", d, version.Major, version.Minor, ErrTooOld)
	}
	return err
}

// hasOldEntries reports whether etcd's log has an entry, after the last snapshot, in the form of the
// requests of etcd 2. etcd wrote such entries until 3.5, and crashes over them from 3.7 on.
func hasOldEntries(dir string) (bool, error) {
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return false, fmt.Errorf("etcd's log in %s: %w", dir, err)
	}
	last := &walpb.Snapshot{}
	if len(snapshots) > 0 {
		last = snapshots[len(snapshots)-1]
	}
	log, err := wal.OpenForRead(zap.NewNop(), dir, last)
	if err != nil {
		return false, fmt.Errorf("etcd's log in %s: %w", dir, err)
	}
	defer log.Close()
	_, _, entries, err := log.ReadAll()
	if err != nil {
		return false, fmt.Errorf("etcd's log in %s: %w", dir, err)
	}
	return slices.ContainsFunc(entries, func(e *raftpb.Entry) bool {
		return e.GetType() == raftpb.EntryNormal && proto.Unmarshal(e.Data, &etcdserverpb.InternalRaftRequest{}) != nil
	}), nil
}

// clusterVersion returns the version that all members of the cluster had, nil if they have not agreed on
// one yet.
func clusterVersion(path string) (version *semver.Version, err error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: openTime})
	if err != nil {
		return nil, fmt.Errorf("etcd's database %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte("cluster"))
		if bucket == nil {
			return nil
		}
		text := bucket.Get([]byte("clusterVersion"))
		if text == nil {
			return nil
		}
		if version, err = semver.NewVersion(string(text)); err != nil {
			return fmt.Errorf("etcd's database %s: the version of the cluster: %w", path, err)
		}
		return nil
	})
	return version, err
}
