package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// trust verifies the metadata of a repository in the order of the specification's detailed
// client workflow (section 5). Each file is kept durably once it is verified, before the next
// one is looked at.
type trust struct {
	set   *trustedmetadata.TrustedMetadata
	files Files
	seen  seen
	// targets is the version of the newest targets metadata that was seen, 0 for none.
	targets int64
}

// newTrust begins with the newest root metadata that the machine has verified, and follows
// the chain of signatures to the newest that the repository has.
func newTrust(ctx context.Context, c ClientConfig) (*trust, error) {
	s, err := openSeen(c.StateDir)
	if err != nil {
		return nil, err
	}
	root, err := s.newestRoot(c.Root)
	if err != nil {
		return nil, err
	}
	set, err := trustedmetadata.New(root)
	if err != nil {
		return nil, explain(err)
	}
	if err := s.observe(c.Now); err != nil {
		return nil, err
	}
	set.RefTime = latest(c.Now, c.NotBefore, s.passed())
	t := &trust{set: set, files: c.Files, seen: s}
	if err := t.followRoots(ctx); err != nil {
		return nil, err
	}
	if set.Root.Signed.IsExpired(set.RefTime) {
		return nil, t.expired(metadata.ROOT, set.Root.Signed.Expires)
	}
	// Targets that keys signed which are revoked now do not count.
	if old, err := verify[metadata.TargetsType](t, metadata.TARGETS, s.read(roleFile(metadata.TARGETS))); err == nil && credible(old.Signed.Version) {
		t.targets = old.Signed.Version
	}
	return t, nil
}

// latest returns the latest of several times. A machine's clock may be behind, or somebody may
// have set it so that expired metadata is valid again.
func latest(now time.Time, others ...time.Time) time.Time {
	for _, other := range others {
		if other.After(now) {
			now = other
		}
	}
	return now
}

func (t *trust) expired(role string, at time.Time) error {
	return fmt.Errorf("%s metadata: %w: on %s, and it is %s", role, ErrExpired, at.UTC().Format(time.RFC3339), t.set.RefTime.UTC().Format(time.RFC3339))
}

func (t *trust) followRoots(ctx context.Context) error {
	for range maxRotations {
		want := t.set.Root.Signed.Version + 1
		text, err := t.files.Get(ctx, "metadata/"+rootFile(want), maxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		root, err := parse[metadata.RootType](metadata.ROOT, text)
		if err != nil {
			return err
		}
		if err := guard(func() error { return t.set.Root.VerifyDelegate(metadata.ROOT, root) }); err != nil {
			return fmt.Errorf("root metadata %d: %w", want, explain(err))
		}
		if got := root.Signed.Version; got != want {
			return fmt.Errorf("root metadata: %w: %s has version %d", ErrMixed, rootFile(want), got)
		}
		if err := guard(func() error { _, err := t.set.UpdateRoot(text); return err }); err != nil {
			return fmt.Errorf("root metadata %d: %w", want, explain(err))
		}
		if err := t.seen.keep(rootFile(want), text); err != nil {
			return err
		}
	}
	return nil
}

// verify parses metadata and verifies that the keys of its role signed it.
func verify[T metadata.Roles](t *trust, role string, text []byte) (*metadata.Metadata[T], error) {
	m, err := parse[T](role, text)
	if err != nil {
		return nil, err
	}
	if err := guard(func() error { return t.set.Root.VerifyDelegate(role, m) }); err != nil {
		return nil, fmt.Errorf("%s metadata: %w", role, explain(err))
	}
	return m, nil
}

// fetch reads metadata of a role from a path in the repository, and verifies it.
func fetch[T metadata.Roles](ctx context.Context, t *trust, role, path string, most int64) ([]byte, *metadata.Metadata[T], error) {
	text, err := t.files.Get(ctx, path, most)
	if err != nil {
		return nil, nil, err
	}
	m, err := verify[T](t, role, text)
	return text, m, err
}

// timestamp verifies the timestamp of the repository.
func (t *trust) timestamp(ctx context.Context) error {
	before, snapshot := int64(0), int64(0)
	name := roleFile(metadata.TIMESTAMP)
	if text := t.seen.read(name); text != nil {
		old, err := verify[metadata.TimestampType](t, metadata.TIMESTAMP, text)
		if err == nil && credible(old.Signed.Version, old.Signed.Meta["snapshot.json"].Version) {
			before, snapshot = old.Signed.Version, old.Signed.Meta["snapshot.json"].Version
			// An expired one counts, too, against an older one.
			_, _ = t.set.UpdateTimestamp(text)
		}
	}
	text, m, err := fetch[metadata.TimestampType](ctx, t, metadata.TIMESTAMP, "metadata/"+name, maxTimestamp)
	if err != nil {
		return err
	}
	if err := checkVersion("timestamp metadata", m.Signed.Version, before); err != nil {
		return err
	}
	if err := checkVersion("snapshot that the timestamp names", m.Signed.Meta["snapshot.json"].Version, snapshot); err != nil {
		return err
	}
	switch _, err := t.set.UpdateTimestamp(text); {
	case errors.Is(err, &metadata.ErrEqualVersionNumber{}):
		// The one that was seen goes on to count.
	case err == nil || errors.Is(err, &metadata.ErrExpiredMetadata{}):
		if err := t.seen.keep(name, text); err != nil {
			return err
		}
	default:
		return fmt.Errorf("timestamp metadata: %w", explain(err))
	}
	if now := t.set.Timestamp.Signed; now.IsExpired(t.set.RefTime) {
		return errors.Join(t.expired(metadata.TIMESTAMP, now.Expires), t.seen.observe(t.set.RefTime))
	}
	return nil
}

// snapshot verifies the snapshot that the timestamp names.
func (t *trust) snapshot(ctx context.Context) error {
	want := t.set.Timestamp.Signed.Meta["snapshot.json"]
	name := roleFile(metadata.SNAPSHOT)
	before := t.targets
	if text := t.seen.read(name); text != nil {
		old, err := verify[metadata.SnapshotType](t, metadata.SNAPSHOT, text)
		if err == nil && credible(old.Signed.Version, old.Signed.Meta["targets.json"].Version) {
			if before = max(before, old.Signed.Meta["targets.json"].Version); old.Signed.Version == want.Version {
				_, err = t.set.UpdateSnapshot(text, true)
				return explainSnapshot(t, old, err)
			}
			_, _ = t.set.UpdateSnapshot(text, true)
		}
	}
	text, m, err := fetch[metadata.SnapshotType](ctx, t, metadata.SNAPSHOT, fmt.Sprintf("metadata/%d.%s", want.Version, name), maxSnapshot)
	if err != nil {
		return err
	}
	if m.Signed.Version != want.Version {
		return fmt.Errorf("snapshot metadata: %w: version %d, the timestamp names version %d", ErrMixed, m.Signed.Version, want.Version)
	}
	if err := checkVersion("targets that the snapshot names", m.Signed.Meta["targets.json"].Version, before); err != nil {
		return err
	}
	_, err = t.set.UpdateSnapshot(text, false)
	if err := explainSnapshot(t, m, err); err != nil {
		return err
	}
	return t.seen.keep(name, text)
}

func explainSnapshot(t *trust, m *metadata.Metadata[metadata.SnapshotType], err error) error {
	if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		return t.expired(metadata.SNAPSHOT, m.Signed.Expires)
	}
	if err != nil {
		return fmt.Errorf("snapshot metadata: %w", explain(err))
	}
	return nil
}

// current returns the targets that the snapshot names.
func (t *trust) current(ctx context.Context) (*metadata.Metadata[metadata.TargetsType], error) {
	want := t.set.Snapshot.Signed.Meta["targets.json"]
	if err := checkVersion("targets metadata", want.Version, t.targets); err != nil {
		return nil, err
	}
	name := roleFile(metadata.TARGETS)
	if text := t.seen.read(name); text != nil && t.targets == want.Version {
		if m, err := t.set.UpdateTargets(text); err == nil {
			return m, nil
		}
	}
	text, m, err := fetch[metadata.TargetsType](ctx, t, metadata.TARGETS, fmt.Sprintf("metadata/%d.%s", want.Version, name), maxTargets)
	switch {
	case err != nil:
		return nil, err
	case m.Signed.Version != want.Version:
		return nil, fmt.Errorf("targets metadata: %w: version %d, the snapshot names version %d", ErrMixed, m.Signed.Version, want.Version)
	case m.Signed.IsExpired(t.set.RefTime):
		return nil, t.expired(metadata.TARGETS, m.Signed.Expires)
	}
	if m, err = t.set.UpdateTargets(text); err != nil {
		return nil, fmt.Errorf("targets metadata: %w", explain(err))
	}
	return m, t.seen.keep(name, text)
}

// carried returns the targets of a bundle, which has neither timestamp nor snapshot.
func (t *trust) carried(ctx context.Context) (*metadata.Metadata[metadata.TargetsType], error) {
	text, m, err := fetch[metadata.TargetsType](ctx, t, metadata.TARGETS, bundleTargets, maxTargets)
	if err != nil {
		return nil, err
	}
	if err := checkVersion("targets metadata", m.Signed.Version, t.targets); err != nil {
		return nil, err
	}
	if m.Signed.IsExpired(t.set.RefTime) {
		return nil, t.expired(metadata.TARGETS, m.Signed.Expires)
	}
	return m, t.seen.keep(roleFile(metadata.TARGETS), text)
}
