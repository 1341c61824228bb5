package repository

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/host/fsync"
)

// seen is a directory with the metadata that a machine has verified. It lies outside of the
// slots, so that it holds whichever system runs.
//
//	N.root.json                              each root metadata, by its version
//	timestamp.json snapshot.json targets.json  the newest of each other role
//	clock                                    a time that has passed
//
// root.json is the newest root metadata that systems up to 4891.0.0 have seen. The files may be read
// by all who get into the directory: they are public, and systems up to 4891.0.0 read them as root
// without capabilities.
type seen struct{ dir string }

func openSeen(dir string) (seen, error) {
	err := os.MkdirAll(dir, 0o700)
	// Systems up to 4891.0.0 leave this directory behind if they are interrupted.
	return seen{dir}, errors.Join(err, os.RemoveAll(filepath.Join(dir, "work")))
}

// read returns the file of a name, nil if there is none.
func (s seen) read(name string) []byte {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("metadata that was verified earlier cannot be read", "error", err)
	}
	return text
}

// keep saves a file durably, unless it is there already.
func (s seen) keep(name string, text []byte) error {
	path := filepath.Join(s.dir, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := renameio.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("save the verified metadata: %w", err)
	}
	// renameio flushes the file. Its name is in the directory.
	if err := fsync.Path(s.dir); err != nil {
		return fmt.Errorf("save the verified metadata: %w", err)
	}
	return nil
}

func roleFile(role string) string { return role + ".json" }

func rootFile(version int64) string { return fmt.Sprintf("%d.root.json", version) }

// newestRoot returns the newest root metadata that this machine has verified: that of the
// running system, or one that it has seen with any system. If an earlier image of the machine came
// from another builder, the roots of that builder's repository do not count.
func (s seen) newestRoot(own []byte) ([]byte, error) {
	system, err := parse[metadata.RootType](metadata.ROOT, own)
	if err != nil {
		return nil, err
	}
	if text := s.read(rootFile(system.Signed.Version)); text != nil && !sameRoot(system, text) {
		slog.Warn("the system trusts another repository than the one before it: what was seen of that one no longer counts", "root", system.Signed.Version)
		if err := s.forgetRoots(); err != nil {
			return nil, err
		}
	}
	newest, version := own, system.Signed.Version
	for _, name := range s.roots() {
		text := s.read(name)
		root, err := parse[metadata.RootType](metadata.ROOT, text)
		if err == nil && root.Signed.Version > version && root.VerifyDelegate(metadata.ROOT, root) == nil {
			newest, version = text, root.Signed.Version
		}
	}
	return newest, errors.Join(s.keep(rootFile(system.Signed.Version), own), s.keep(rootFile(version), newest))
}

// sameRoot reports whether root metadata says the same as that in a text, which may have other
// signatures. A damaged text counts as the same: it does not show that there was another repository.
func sameRoot(root *metadata.Metadata[metadata.RootType], text []byte) bool {
	other, err := parse[metadata.RootType](metadata.ROOT, text)
	if err != nil {
		return true
	}
	one, err := root.Signed.MarshalJSON()
	two, otherErr := other.Signed.MarshalJSON()
	return err == nil && otherErr == nil && bytes.Equal(one, two)
}

// roots returns the names of the files with root metadata.
func (s seen) roots() []string {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		slog.Warn("metadata that was verified earlier cannot be read", "error", err)
	}
	var names []string
	for _, entry := range entries {
		number, ok := strings.CutSuffix(entry.Name(), "."+roleFile(metadata.ROOT))
		if _, err := strconv.Atoi(number); ok && err == nil || entry.Name() == roleFile(metadata.ROOT) {
			names = append(names, entry.Name())
		}
	}
	return names
}

func (s seen) forgetRoots() error {
	var errs error
	for _, name := range s.roots() {
		errs = errors.Join(errs, os.Remove(filepath.Join(s.dir, name)))
	}
	return errs
}

const clockFile = "clock"

// clockStep is how much later a time must be to be kept, so that the file is not written at each
// update check.
const clockStep = time.Hour

// passed returns a time that has certainly passed, the zero time if none is known.
func (s seen) passed() time.Time {
	at, _ := time.Parse(time.RFC3339, strings.TrimSpace(string(s.read(clockFile))))
	return at
}

// observe keeps the time, so that no metadata becomes valid again that expires until then. The
// clock may be years ahead: nothing is kept that is later than the end of the timestamp that was
// seen last. So the next one is valid when the clock is right again.
func (s seen) observe(now time.Time) error {
	m, err := parse[metadata.TimestampType](metadata.TIMESTAMP, s.read(roleFile(metadata.TIMESTAMP)))
	if err != nil {
		return nil // nothing was seen that could become valid again
	}
	passed := s.passed()
	end := m.Signed.Expires.Add(time.Second)
	switch {
	case now.After(end) && end.After(passed):
		now = end
	case now.After(end) || now.Before(passed.Add(clockStep)):
		return nil
	}
	return s.keep(clockFile, []byte(now.UTC().Format(time.RFC3339)+"\n"))
}

// Observe keeps the time in dir, the directory of the metadata that a machine has verified. The
// daemon calls it when it ends.
func Observe(dir string, now time.Time) error {
	if _, err := os.Stat(dir); err != nil {
		return nil // nothing was verified yet
	}
	return seen{dir}.observe(now)
}
