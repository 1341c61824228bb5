package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

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
