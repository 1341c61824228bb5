package repository

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// seen is a directory with the metadata that a machine has seen. The TUF library writes its
// files in place and cannot read a file that a power cut left incomplete. So it works on a
// copy, from which complete files are taken.
type seen struct {
	dir, work string
}

// openSeen copies the readable metadata in the directory.
func openSeen(dir string) (*seen, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	work := filepath.Join(dir, "work") // may be left by an interrupted run
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o700)); err != nil {
		return nil, err
	}
	s := &seen{dir, work}
	for _, role := range Roles {
		text, err := os.ReadFile(s.path(s.dir, role))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !isMetadata(role, text) {
			continue
		}
		if err == nil {
			err = os.WriteFile(s.path(s.work, role), text, 0o600)
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *seen) path(dir, role string) string { return filepath.Join(dir, role+".json") }

// isMetadata reports whether a text is metadata of a role, signed by anyone.
func isMetadata(role string, text []byte) bool {
	var err error
	switch role {
	case metadata.ROOT:
		_, err = new(metadata.Metadata[metadata.RootType]).FromBytes(text)
	case metadata.TARGETS:
		_, err = new(metadata.Metadata[metadata.TargetsType]).FromBytes(text)
	case metadata.SNAPSHOT:
		_, err = new(metadata.Metadata[metadata.SnapshotType]).FromBytes(text)
	default:
		_, err = new(metadata.Metadata[metadata.TimestampType]).FromBytes(text)
	}
	return err == nil
}

// keep saves the files that have changed durably.
func (s *seen) keep() error {
	for _, role := range Roles {
		text, err := os.ReadFile(s.path(s.work, role))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("save the metadata of the repository: %w", err)
		}
		if old, err := os.ReadFile(s.path(s.dir, role)); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := renameio.WriteFile(s.path(s.dir, role), text, 0o600); err != nil {
			return fmt.Errorf("save the metadata of the repository: %w", err)
		}
	}
	return nil
}

func (s *seen) close() { _ = os.RemoveAll(s.work) }
