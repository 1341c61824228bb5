// Package snapshot takes snapshots of etcd's database, keeps the newest, and restores
// one as a new cluster.
//
// A snapshot is a file as etcdctl snapshot save makes it: the database (bbolt) and the
// SHA-256 of it, 32 bytes, at the end.
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
)

// Dir is where etcd-snapshot.service keeps snapshots.
const Dir = "/var/lib/etcd-snapshots"

// Snapshot is a verified snapshot.
type Snapshot struct {
	Path     string
	Revision int64 // of the newest key in it
	Keys     int
	Size     int64 // in bytes
}

// Store is a directory of snapshots etcd-TIME-REVISION.db, with the time in UTC. It
// leaves files with other names alone.
type Store struct {
	Dir  string
	Keep int // how many are kept, at least 1
}

// pattern are the names of snapshots. In the order of names they are in that of time.
var pattern = regexp.MustCompile(`^etcd-[0-9]{8}T[0-9]{6}Z-[0-9]+\.db$`)

const stamp = "20060102T150405Z"

// partial is the snapshot that is being taken. An interrupted one is overwritten.
const partial = ".etcd-snapshot.partial"

// Take takes a snapshot of the one member that the client talks to, and, when it is
// verified and on the disk, deletes the oldest of those that are too many, which it
// returns. The context bounds the time.
func (s Store) Take(ctx context.Context, client *clientv3.Client, now time.Time) (*Snapshot, []string, error) {
	if s.Keep < 1 {
		return nil, nil, fmt.Errorf("keep %d snapshots: at least one has to be kept", s.Keep)
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
	if err := dir.Sync(); err != nil {
		return nil, nil, fmt.Errorf("snapshot: %w", err)
	}
	pruned, err := s.prune(filepath.Base(taken.Path))
	return taken, pruned, err
}

// answerTime is how long etcd may take to say that it is there.
const answerTime = 10 * time.Second

// lock keeps two from writing the same file. It ends when the directory is closed.
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

// fetch writes a snapshot to a file, and the file to the disk.
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

// prune deletes all but the newest, and never the one just taken, which is the one that
// is known to be good, and is not the newest by its name if the clock was set back.
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

// ErrDamaged says that a file is not what etcd wrote.
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

// verifyHash goes first: a damaged database can crash those that read it.
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
