package snapshot

import (
	"fmt"
	"time"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"coreos/internal/etcd/datadir"
)

// Bump is by how much revisions grow in a restored cluster unless one says otherwise. It
// is to be more than what was written since the snapshot, so that no revision comes
// twice; etcd's own documentation recommends it.
const Bump = 1_000_000_000

// Restoration makes a snapshot the data of a new cluster with one member.
type Restoration struct {
	File          string
	Name, PeerURL string // of the member
	Data          datadir.Dir
	// Bump is added to the revision, and what is older counts as compacted: clients that
	// watch are told to begin anew, in place of waiting for a revision that was.
	Bump uint64
	Now  time.Time
}

// Run verifies the snapshot and puts it in the place of the data, which it moves aside
// to the directory that it returns, "" if there were none. etcd must not run. With an
// error the data are as they were.
func (r Restoration) Run() (former string, err error) {
	taken, err := Verify(r.File)
	if err != nil {
		return "", err
	}
	// A database of its own, and etcd's log, which takes its 64 MB at once.
	if err := datadir.NeedRoom(string(r.Data), taken.Size+64<<20); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	return r.Data.Replace(r.Now, r.build)
}

func (r Restoration) build(dir string) error {
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:   r.File,
		Name:           r.Name,
		OutputDataDir:  dir,
		PeerURLs:       []string{r.PeerURL},
		InitialCluster: r.Name + "=" + r.PeerURL,
		// Another cluster than any before: members of the old one cannot mix with it.
		InitialClusterToken: "restored-" + r.Now.UTC().Format(stamp),
		RevisionBump:        r.Bump,
		MarkCompacted:       r.Bump > 0,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.File, err)
	}
	return nil
}
