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
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
