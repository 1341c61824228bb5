// Package repository maintains a directory of static files from which machines update:
// releases, and the metadata of The Update Framework
// (https://theupdateframework.github.io/specification/latest/), which proves that they are
// genuine.
//
//	metadata/N.root.json      the trusted keys; one file for each change of them
//	metadata/N.targets.json   the manifest of each release, and the version of each channel
//	metadata/N.snapshot.json  the number of the current targets file
//	metadata/timestamp.json   the number of the current snapshot, at a recent time
//	staged/ROLE.json          changes that are not published, and may lack signatures
//	BOARD/VERSION/            a release: see package release
//	channels/BOARD/           the version of each channel
//
// Keys can be kept offline: a change is staged, copied as one small file to the machine
// with the key, signed there, copied back, and takes effect when it is published.
package repository

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Roles are the roles of metadata, in the order in which they are published.
var Roles = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// lifetimes are the lifetimes of metadata. Those signed by offline keys are long; the short
// one of the timestamp limits for how long an old state of the repository can be served.
var lifetimes = map[string]time.Duration{
	metadata.ROOT:      2 * 365 * 24 * time.Hour,
	metadata.TARGETS:   365 * 24 * time.Hour,
	metadata.SNAPSHOT:  30 * 24 * time.Hour,
	metadata.TIMESTAMP: 14 * 24 * time.Hour,
}

// Repository is a repository in a directory.
type Repository struct {
	dir string
	// Now returns the time of signatures.
	Now func() time.Time
}

// Open returns the repository in a directory, which may be empty.
func Open(dir string) *Repository { return &Repository{dir, time.Now} }

func (r *Repository) metadataPath(name string) string { return filepath.Join(r.dir, "metadata", name) }

func (r *Repository) stagedPath(role string) string {
	return filepath.Join(r.dir, "staged", role+".json")
}

func (r *Repository) expiry(role string) time.Time {
	return r.Now().UTC().Add(lifetimes[role]).Truncate(time.Second)
}

// RoleKeys are the keys of a role. Signatures by Threshold of them are needed.
type RoleKeys struct {
	Keys      []*metadata.Key
	Threshold int
}

// StageRoot stages root metadata with the keys of each role: the first of a repository, or
// the next, which the previous keys have to sign, too. Roles that are not in the map keep
// their keys.
func (r *Repository) StageRoot(roles map[string]RoleKeys) error {
	root, err := current[metadata.RootType](r, metadata.ROOT)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		root = metadata.Root(r.expiry(metadata.ROOT))
	case err != nil:
		return err
	default:
		root.Signed.Version++
		root.Signed.Expires = r.expiry(metadata.ROOT)
		root.ClearSignatures()
	}
	for _, role := range Roles {
		keys, ok := roles[role]
		if !ok {
			if len(root.Signed.Roles[role].KeyIDs) == 0 {
				return fmt.Errorf("role %s has no keys", role)
			}
			continue
		}
		if keys.Threshold < 1 || keys.Threshold > len(keys.Keys) {
			return fmt.Errorf("role %s: a threshold of %d with %d keys", role, keys.Threshold, len(keys.Keys))
		}
		for _, old := range slices.Clone(root.Signed.Roles[role].KeyIDs) {
			if err := root.Signed.RevokeKey(old, role); err != nil {
				return fmt.Errorf("role %s: %w", role, err)
			}
		}
		for _, key := range keys.Keys {
			if err := root.Signed.AddKey(key, role); err != nil {
				return fmt.Errorf("role %s: %w", role, err)
			}
		}
		root.Signed.Roles[role].Threshold = keys.Threshold
	}
	return write(r.stagedPath(metadata.ROOT), root)
}

// stageTargets stages targets metadata that change has modified.
func (r *Repository) stageTargets(change func(map[string]*metadata.TargetFiles) error) error {
	// Changes are added to those that are staged already.
	targets, err := read[metadata.TargetsType](r.stagedPath(metadata.TARGETS))
	if errors.Is(err, fs.ErrNotExist) {
		targets, err = current[metadata.TargetsType](r, metadata.TARGETS)
		if err == nil {
			targets.Signed.Version++
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		targets = metadata.Targets()
	case err != nil:
		return err
	}
	targets.Signed.Expires = r.expiry(metadata.TARGETS)
	targets.ClearSignatures()
	if err := change(targets.Signed.Targets); err != nil {
		return err
	}
	return write(r.stagedPath(metadata.TARGETS), targets)
}

// Renew stages the unchanged targets with a new time of expiry.
func (r *Repository) Renew() error {
	return r.stageTargets(func(map[string]*metadata.TargetFiles) error { return nil })
}

// Sign adds the signature of a key to the staged file at path, which may be a copy outside
// of the repository.
func Sign(path string, key Key) error {
	role := strings.TrimSuffix(filepath.Base(path), ".json")
	switch role {
	case metadata.ROOT:
		return sign[metadata.RootType](path, key)
	case metadata.TARGETS:
		return sign[metadata.TargetsType](path, key)
	}
	return fmt.Errorf("%s is neither staged root nor staged targets metadata", path)
}

func sign[T metadata.Roles](path string, key Key) error {
	m, err := read[T](path)
	if err != nil {
		return err
	}
	m.Signatures = slices.DeleteFunc(m.Signatures, func(s metadata.Signature) bool { return s.KeyID == key.ID })
	if _, err := m.Sign(key); err != nil {
		return fmt.Errorf("sign %s: %w", path, err)
	}
	return write(path, m)
}

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

// Root returns the current root metadata, which machines need to trust the repository.
func (r *Repository) Root() ([]byte, error) {
	path, err := r.currentPath(metadata.ROOT)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// current reads the published metadata of a role with numbered files.
func current[T metadata.Roles](r *Repository, role string) (*metadata.Metadata[T], error) {
	path, err := r.currentPath(role)
	if err != nil {
		return nil, err
	}
	return read[T](path)
}

// published reads the published root and targets metadata.
func (r *Repository) published() (*metadata.Metadata[metadata.RootType], *metadata.Metadata[metadata.TargetsType], error) {
	root, err := current[metadata.RootType](r, metadata.ROOT)
	if err != nil {
		return nil, nil, err
	}
	targets, err := current[metadata.TargetsType](r, metadata.TARGETS)
	return root, targets, err
}

// currentPath returns the path of the file of a role with the highest number, or
// fs.ErrNotExist if there is none.
func (r *Repository) currentPath(role string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, "metadata"))
	if err != nil {
		return "", fmt.Errorf("repository: %w", err)
	}
	newest := 0
	for _, entry := range entries {
		number, ok := strings.CutSuffix(entry.Name(), "."+role+".json")
		if n, err := strconv.Atoi(number); ok && err == nil {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return "", fmt.Errorf("repository %s has no %s metadata: %w", r.dir, role, fs.ErrNotExist)
	}
	return r.metadataPath(fmt.Sprintf("%d.%s.json", newest, role)), nil
}

func read[T metadata.Roles](path string) (*metadata.Metadata[T], error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	m, err := new(metadata.Metadata[T]).FromBytes(text)
	if err != nil {
		return nil, fmt.Errorf("metadata %s: %w", path, err)
	}
	return m, nil
}

func write[T metadata.Roles](path string, m *metadata.Metadata[T]) error {
	text, err := m.ToBytes(true)
	if err != nil {
		return fmt.Errorf("metadata %s: %w", path, err)
	}
	return writeFile(path, append(bytes.TrimRight(text, "\n"), '\n'))
}

// writeFile writes a file atomically and durably.
func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	if err := renameio.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	return nil
}
