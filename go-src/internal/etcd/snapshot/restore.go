package snapshot

import (
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"coreos/internal/etcd/datadir"
)

// Bump is the default of Restoration.Bump. It has to be more than the writes since the
// snapshot, so that no revision is used twice; the documentation of etcd recommends this
// number.
const Bump = 1_000_000_000

// Restoration restores a snapshot as a new cluster with one member.
type Restoration struct {
	File          string
	Name, PeerURL string // of the member; several URLs with commas
	Data          datadir.Dir
	// Bump is added to the revision, and older revisions count as compacted. So clients
	// that watch get an error and start again, instead of waiting for a revision that
	// exists already.
	Bump uint64
	Now  time.Time
}

// Run verifies the snapshot and replaces the data by it. It returns the directory to which
// the former data were moved, "" if there were none. etcd must not run. If Run fails, the
// data are unchanged.
func (r Restoration) Run() (former string, err error) {
	taken, err := Verify(r.File)
	if err != nil {
		return "", err
	}
	// It needs room for a database, and for the log, for which etcd allocates 64 MB at
	// once.
	if err := datadir.NeedRoom(string(r.Data), taken.Size+64<<20); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	return r.Data.Replace(r.Now, r.build)
}

func (r Restoration) build(dir string) error {
	urls := strings.Split(r.PeerURL, ",")
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:   r.File,
		Name:           r.Name,
		OutputDataDir:  dir,
		PeerURLs:       urls,
		InitialCluster: r.Name + "=" + strings.Join(urls, ","+r.Name+"="),
		// The cluster gets a new id, so that members of the old one cannot join it.
		InitialClusterToken: "restored-" + r.Now.UTC().Format(stamp),
		RevisionBump:        r.Bump,
		MarkCompacted:       r.Bump > 0,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.File, err)
	}
	return nil
}
