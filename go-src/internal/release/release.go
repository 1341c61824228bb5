// Package release describes a version of the system as it is published: a manifest,
// which names every byte of the version, and the files that hold them.
package release

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"

	"coreos/internal/payload"
	"coreos/internal/verity"
)

// Format is the version of the manifest's format that is written and read.
const Format = 1

// MaxManifest is the size in bytes of the largest manifest that is read.
const MaxManifest = 64 << 10

// Bounds of what a manifest may describe. A slot is smaller than either, but which
// size a slot has is not known here.
const (
	maxBoot = 1 << 30
	maxUsr  = 16 << 30
)

// The files of a release, in one directory.
const (
	ManifestFile = "manifest.json"
	BootFile     = "boot.img"   // fills the boot partition
	TreeFile     = "usr.verity" // what follows the data in the /usr partition: superblock and hash tree
	PayloadFile  = "usr.zst"    // the data, in package payload's format
)

// Manifest describes a version. It is signed; what it says of the files is therefore
// true, once it was read by ReadManifest.
type Manifest struct {
	Format int `json:"format"`
	// Board is the kind of machine that the version is for: "amd64-usr".
	Board   string `json:"board"`
	Version string `json:"version"`
	// MinimumVersion is the oldest version that can be updated to this one, empty
	// if any can.
	MinimumVersion string `json:"minimum_version,omitempty"`
	Boot           File   `json:"boot"`
	Usr            Usr    `json:"usr"`
}

// File is a file of the release.
type File struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// Usr describes the /usr partition.
type Usr struct {
	RootHash string `json:"root_hash"` // of dm-verity, in hexadecimal
	Blocks   uint64 `json:"blocks"`    // of data, 4,096 bytes each
	Tree     File   `json:"tree"`
	Payload  File   `json:"payload"`
}

// ErrManifest is in the chain of every error about a manifest.
var ErrManifest = errors.New("bad manifest")

var boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// ReadManifest reads and checks a manifest.
func ReadManifest(r io.Reader) (*Manifest, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(text) > MaxManifest {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrManifest, MaxManifest)
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

// Check finds out whether the manifest makes sense.
func (m *Manifest) Check() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("%w: format %d, this system reads %d: update to a version in between first", ErrManifest, m.Format, Format)
	case !boardName.MatchString(m.Board):
		return fmt.Errorf("%w: board %.40q", ErrManifest, m.Board)
	case !ValidVersion(m.Version):
		return fmt.Errorf("%w: version %.40q", ErrManifest, m.Version)
	case m.MinimumVersion != "" && !ValidVersion(m.MinimumVersion):
		return fmt.Errorf("%w: minimum version %.40q", ErrManifest, m.MinimumVersion)
	}
	if m.Usr.Blocks > maxUsr/verity.BlockSize {
		return fmt.Errorf("%w: /usr of %d blocks", ErrManifest, m.Usr.Blocks)
	}
	root, err := m.Usr.Root()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return errors.Join(
		m.Boot.check(BootFile, 1, maxBoot),
		m.Usr.Tree.check(TreeFile, root.TreeSize()+verity.BlockSize, root.TreeSize()+verity.BlockSize),
		// What cannot be compressed grows by a few bytes in each frame.
		m.Usr.Payload.check(PayloadFile, payload.IndexSize(m.Usr.Blocks), int64(m.Usr.Blocks)*(verity.BlockSize+64)+payload.IndexSize(m.Usr.Blocks)),
	)
}

func (f File) check(name string, least, most int64) error {
	if f.Size < least || f.Size > most {
		return fmt.Errorf("%w: %s of %d bytes", ErrManifest, name, f.Size)
	}
	if hash, err := hex.DecodeString(f.SHA256); err != nil || len(hash) != 32 {
		return fmt.Errorf("%w: %s has SHA-256 %.80q", ErrManifest, name, f.SHA256)
	}
	return nil
}

// Root returns the root of /usr's hash tree.
func (u Usr) Root() (verity.Root, error) { return verity.ParseRoot(u.RootHash, u.Blocks) }

// Size is what the data with superblock and tree take of a partition, in bytes.
func (u Usr) Size() int64 { return int64(u.Blocks)*verity.BlockSize + u.Tree.Size }

// Directory is where a release lies below the repository.
func Directory(board, version string) string { return path.Join(board, version) }

// ValidVersion tells whether a version can be compared: "4891.0.0", with a suffix as
// in Semantic Versioning if need be.
func ValidVersion(version string) bool {
	return len(version) <= 64 && semver.IsValid("v"+version) && strings.Count(version, ".") >= 2
}

// Compare returns -1, 0 or 1 for a version that is older than, as old as or newer than
// another, by Semantic Versioning; a suffix after "+" does not count.
func Compare(a, b string) int { return semver.Compare("v"+a, "v"+b) }
