package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Publish publishes what is staged, if it has the necessary signatures, and signs a new
// snapshot and timestamp with the given keys. Machines see either the old or the new state,
// since the timestamp is written last.
func (r *Repository) Publish(keys ...Key) error {
	root, err := r.publishRoot()
	if err != nil {
		return err
	}
	if err := r.publishTargets(root); err != nil {
		return err
	}
	return r.publishSnapshot(root, keys)
}

// publishRoot publishes staged root metadata, and returns the current root metadata.
func (r *Repository) publishRoot() (*metadata.Metadata[metadata.RootType], error) {
	old, oldErr := current[metadata.RootType](r, metadata.ROOT)
	if oldErr != nil && !errors.Is(oldErr, fs.ErrNotExist) {
		return nil, oldErr
	}
	staged, err := read[metadata.RootType](r.stagedPath(metadata.ROOT))
	switch {
	case errors.Is(err, fs.ErrNotExist) && oldErr == nil:
		return old, nil
	case err != nil:
		return nil, fmt.Errorf("the repository has no root metadata: %w", err)
	}
	want := int64(1)
	if oldErr == nil {
		want = old.Signed.Version + 1
		if err := old.VerifyDelegate(metadata.ROOT, staged); err != nil {
			return nil, fmt.Errorf("the staged root metadata lacks signatures by the current keys: %w", err)
		}
	}
	if staged.Signed.Version != want {
		return nil, fmt.Errorf("the staged root metadata has version %d, want %d: stage it again", staged.Signed.Version, want)
	}
	if err := staged.VerifyDelegate(metadata.ROOT, staged); err != nil {
		return nil, fmt.Errorf("the staged root metadata lacks signatures by its own keys: %w", err)
	}
	return staged, r.release(metadata.ROOT, staged.Signed.Version)
}

func (r *Repository) publishTargets(root *metadata.Metadata[metadata.RootType]) error {
	staged, err := read[metadata.TargetsType](r.stagedPath(metadata.TARGETS))
	if errors.Is(err, fs.ErrNotExist) {
		old, err := current[metadata.TargetsType](r, metadata.TARGETS)
		if err != nil {
			return fmt.Errorf("there is nothing to publish: add a release first: %w", err)
		}
		if err := root.VerifyDelegate(metadata.TARGETS, old); err != nil {
			return fmt.Errorf("the published targets metadata is not signed by the current keys: renew and sign it: %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := root.VerifyDelegate(metadata.TARGETS, staged); err != nil {
		return fmt.Errorf("the staged targets metadata lacks signatures: %w", err)
	}
	return r.release(metadata.TARGETS, staged.Signed.Version)
}

func (r *Repository) publishSnapshot(root *metadata.Metadata[metadata.RootType], keys []Key) error {
	targets, err := current[metadata.TargetsType](r, metadata.TARGETS)
	if err != nil {
		return err
	}
	snapshot, timestamp := metadata.Snapshot(r.expiry(metadata.SNAPSHOT)), metadata.Timestamp(r.expiry(metadata.TIMESTAMP))
	if old, err := current[metadata.SnapshotType](r, metadata.SNAPSHOT); err == nil {
		snapshot.Signed.Version = old.Signed.Version + 1
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old, err := read[metadata.TimestampType](r.metadataPath("timestamp.json")); err == nil {
		timestamp.Signed.Version = old.Signed.Version + 1
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(targets.Signed.Version)
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot.Signed.Version)
	if err := signBy(root, metadata.SNAPSHOT, snapshot, keys); err != nil {
		return err
	}
	if err := signBy(root, metadata.TIMESTAMP, timestamp, keys); err != nil {
		return err
	}
	if err := write(r.metadataPath(fmt.Sprintf("%d.snapshot.json", snapshot.Signed.Version)), snapshot); err != nil {
		return err
	}
	return write(r.metadataPath("timestamp.json"), timestamp)
}

// signBy signs metadata of a role with those of the keys that belong to the role.
func signBy[T metadata.Roles](root *metadata.Metadata[metadata.RootType], role string, m *metadata.Metadata[T], keys []Key) error {
	for _, key := range keys {
		if slices.Contains(root.Signed.Roles[role].KeyIDs, key.ID) {
			if _, err := m.Sign(key); err != nil {
				return fmt.Errorf("sign %s metadata: %w", role, err)
			}
		}
	}
	if err := root.VerifyDelegate(role, m); err != nil {
		return fmt.Errorf("%s metadata needs %d keys of its role: %w", role, root.Signed.Roles[role].Threshold, err)
	}
	return nil
}

// release moves staged metadata to its published name.
func (r *Repository) release(role string, version int64) error {
	text, err := os.ReadFile(r.stagedPath(role))
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := writeFile(r.metadataPath(fmt.Sprintf("%d.%s.json", version, role)), text); err != nil {
		return err
	}
	if err := os.Remove(r.stagedPath(role)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
