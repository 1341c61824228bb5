// Package snapshot takes snapshots of etcd's database, keeps the newest, and restores one
// as a new cluster.
//
// A snapshot has the format of etcdctl snapshot save: the database (bbolt), followed by its
// SHA-256 in 32 bytes.
package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"coreos/internal/etcd/datadir"
	"coreos/internal/host/fsync"
)

// Dir is the directory of the snapshots of etcd-snapshot.service.
const Dir = "/var/lib/etcd-snapshots"

// Snapshot is a verified snapshot.
type Snapshot struct {
	Path     string
	Revision int64 // of the newest key in it
	Keys     int
	Size     int64 // in bytes
}

// Store is a directory of snapshots with names etcd-TIME-REVISION.db, where the time is in
// UTC. Files with other names are ignored.
type Store struct {
	Dir  string
	Keep int // number of snapshots to keep, at least 1
}

// pattern matches the names of snapshots. Sorted by name, they are sorted by time.
var pattern = regexp.MustCompile(`^etcd-[0-9]{8}T[0-9]{6}Z-[0-9]+\.db$`)

const stamp = "20060102T150405Z"

// partial is the name of the snapshot that is being taken. One that was interrupted is
// overwritten.
const partial = ".etcd-snapshot.partial"

// Take takes a snapshot of the member that the client is connected to. Once it is verified
// and on the disk, Take deletes the oldest snapshots that exceed Keep, and returns their
// names. The context limits the time.
func (s Store) Take(ctx context.Context, client *clientv3.Client, now time.Time) (*Snapshot, []string, error) {
	if s.Keep < 1 {
		return nil, nil, fmt.Errorf("cannot keep %d snapshots: want 1 or more", s.Keep)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("snapshots: %w", err)
	}
	dir, err := s.lock()
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	path := filepath.Join(s.Dir, partial)
	defer os.Remove(path)
	if err := s.fetch(ctx, client, path); err != nil {
		return nil, nil, err
	}
	taken, err := Verify(path)
	if err != nil {
		return nil, nil, err
	}
	taken.Path = filepath.Join(s.Dir, fmt.Sprintf("etcd-%s-%d.db", now.UTC().Format(stamp), taken.Revision))
	if err := os.Rename(path, taken.Path); err != nil {
		return nil, nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := fsync.Path(s.Dir); err != nil {
		return nil, nil, fmt.Errorf("snapshot: %w", err)
	}
	pruned, err := s.prune(filepath.Base(taken.Path))
	return taken, pruned, err
}

// answerTime is the time limit for etcd to answer the first request.
const answerTime = 10 * time.Second

// lock locks the directory against a second Take. Closing the directory unlocks it.
func (s Store) lock() (*os.File, error) {
	dir, err := os.Open(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("snapshots in %s: another one is being taken: %w", s.Dir, err)
	}
	return dir, nil
}

// fetch writes a snapshot to a file and flushes it to the disk.
func (s Store) fetch(ctx context.Context, client *clientv3.Client, path string) error {
	endpoint := client.Endpoints()[0]
	soon, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	status, err := client.Status(soon, endpoint)
	if err != nil {
		return fmt.Errorf("snapshot: %s does not answer: %w", endpoint, err)
	}
	if err := datadir.NeedRoom(s.Dir, status.DbSize); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	response, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", endpoint, err)
	}
	defer response.Snapshot.Close()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer file.Close()
	if _, err := io.Copy(file, response.Snapshot); err != nil {
		return fmt.Errorf("snapshot of %s: %w", endpoint, err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// prune deletes all but the newest snapshots. It never deletes the one just taken, which is
// verified, and which is not the newest by name if the clock was set back.
func (s Store) prune(taken string) (pruned []string, err error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if pattern.MatchString(entry.Name()) && entry.Type().IsRegular() && entry.Name() != taken {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	for len(names) > s.Keep-1 {
		if err := os.Remove(filepath.Join(s.Dir, names[0])); err != nil {
			return pruned, fmt.Errorf("snapshots: %w", err)
		}
		pruned, names = append(pruned, names[0]), names[1:]
	}
	return pruned, nil
}

// ErrDamaged says that a snapshot is damaged.
var ErrDamaged = errors.New("the snapshot is damaged: take an older one")

// Verify reads a snapshot, compares its hash, and checks the database in it.
func Verify(path string) (*Snapshot, error) {
	size, err := verifyHash(path)
	if err != nil {
		return nil, err
	}
	status, err := snapshot.NewV3(zap.NewNop()).Status(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return &Snapshot{Path: path, Revision: status.Revision, Keys: status.TotalKey, Size: size}, nil
}

// verifyHash is called first, since a damaged database can crash the code that reads it.
func verifyHash(path string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	database := info.Size() - sha256.Size
	if database <= 0 || database%512 != 0 {
		return 0, fmt.Errorf("%s: %w (%d bytes are no database with a SHA-256 at its end; a copy of etcd's own file db has none)", path, ErrDamaged, info.Size())
	}
	hash, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.CopyN(hash, file, database); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := io.ReadFull(file, want); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if got := hash.Sum(nil); !bytes.Equal(got, want) {
		return 0, fmt.Errorf("%s: %w (its SHA-256 is %x, and should be %x)", path, ErrDamaged, got, want)
	}
	return info.Size(), nil
}
