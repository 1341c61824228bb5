// Package release defines a published version of the system: the manifest, which identifies
// every byte of the version, and its files.
package release

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/semver"

	"coreos/internal/boot/verity"
	"coreos/internal/host/bounded"
	"coreos/internal/update/payload"
)

// Format is the version of the format of manifests.
const Format = 1

// MaxManifest is the size limit of a manifest in bytes.
const MaxManifest = 64 << 10

// Size limits of the contents. Slots are smaller, but their sizes are not known here.
const (
	maxBoot = 1 << 30 / verity.BlockSize
	maxUsr  = 16 << 30 / verity.BlockSize

	maxPatches = 16
)

// MaxNotes is the size limit of release notes in bytes. JSON may need six bytes for one of
// them, and the whole manifest must stay below MaxManifest.
const MaxNotes = 8 << 10

// ManifestFile is the name of the manifest in the directory of a release, which also has
// the tree and the payload of each content.
const ManifestFile = "manifest.json"

// The contents of a release.
const (
	Boot = "boot" // the content of the boot partition
	Usr  = "usr"  // the content of the /usr partition before the hash tree
)

// ErrLeftOut says that a file of a release is left out where the release comes from, because
// the machine can compute it: a hash tree in a bundle.
var ErrLeftOut = errors.New("left out, since it can be computed")

// TreeFile returns the name of the file with the hash tree of a content.
func TreeFile(content string) string { return content + ".verity" }

// PayloadFile returns the name of the file with the data of a content, in the format of
// package payload.
func PayloadFile(content string) string { return content + ".zst" }

// WholeFile returns the name of the file with the data of a content as one stream, in the
// format of package payload.
func WholeFile(content string) string { return content + ".whole.zst" }

// PatchFile returns the name of the patch of a content from another root hash, in the
// format of package patch.
func PatchFile(content, from string) string { return content + ".from-" + from[:16] + ".patch" }

// Manifest describes a version. It is signed, so what it says about the files can be
// trusted once ReadManifest has read it.
type Manifest struct {
	Format int `json:"format"`
	// Board is the kind of machine, such as "amd64-usr".
	Board   string `json:"board"`
	Version string `json:"version"`
	// MinimumVersion is the oldest version that can update to this one, empty if all can.
	MinimumVersion string `json:"minimum_version,omitempty"`
	// Notes are the release notes, in plain text or Markdown, empty if there are none.
	Notes string  `json:"notes,omitempty"`
	Boot  Content `json:"boot"`
	Usr   Content `json:"usr"`
}

// Content is the content of a partition. Its root hash determines every block.
type Content struct {
	RootHash string `json:"root_hash"` // of dm-verity, in hexadecimal
	Blocks   uint64 `json:"blocks"`    // number of data blocks of 4,096 bytes
	Tree     File   `json:"tree"`
	Payload  File   `json:"payload"`
	// Whole has the data once more, as one stream. Older releases do not have it, and older
	// systems ignore it.
	Whole *File `json:"whole,omitempty"`
	// Patches are patches from some older contents.
	Patches []Patch `json:"patches,omitempty"`
}

// Patch is a patch from an older content.
type Patch struct {
	From string `json:"from"` // root hash of the older content, in hexadecimal
	File
}

// Patch returns the patch from an older content, if there is one.
func (c Content) Patch(from verity.Root) (Patch, bool) {
	i := slices.IndexFunc(c.Patches, func(p Patch) bool { return p.From == hex.EncodeToString(from.Hash[:]) })
	if i < 0 {
		return Patch{}, false
	}
	return c.Patches[i], true
}

// File is a file of the release.
type File struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// ErrManifest is in the chain of each error about a manifest.
var ErrManifest = errors.New("the manifest is not valid")

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// ValidName reports whether a name is valid for a board or a channel. It becomes part of
// paths.
func ValidName(s string) bool { return name.MatchString(s) }

// ReadManifest parses and checks a manifest.
func ReadManifest(r io.Reader) (*Manifest, error) {
	text, err := bounded.Read(r, MaxManifest)
	if errors.Is(err, bounded.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
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

// Check checks a manifest.
func (m *Manifest) Check() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("%w: format %d, this system reads %d: update to a version in between first", ErrManifest, m.Format, Format)
	case !ValidName(m.Board):
		return fmt.Errorf("%w: board %.40q", ErrManifest, m.Board)
	case !ValidVersion(m.Version):
		return fmt.Errorf("%w: version %.40q", ErrManifest, m.Version)
	case m.MinimumVersion != "" && !ValidVersion(m.MinimumVersion):
		return fmt.Errorf("%w: minimum version %.40q", ErrManifest, m.MinimumVersion)
	}
	if err := CheckNotes(m.Notes); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return errors.Join(m.Boot.check(Boot, maxBoot), m.Usr.check(Usr, maxUsr))
}

// CheckNotes refuses release notes that are too long, or have control characters, which
// could control the terminal of a reader.
func CheckNotes(notes string) error {
	if len(notes) > MaxNotes {
		return fmt.Errorf("release notes of %d bytes: want at most %d", len(notes), MaxNotes)
	}
	if !utf8.ValidString(notes) {
		return errors.New("release notes: want text in UTF-8")
	}
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if i := strings.IndexFunc(notes, control); i >= 0 {
		return fmt.Errorf("release notes: control character at byte %d", i)
	}
	return nil
}

func (c Content) check(name string, most uint64) error {
	if c.Blocks > most {
		return fmt.Errorf("%w: %s of %d blocks", ErrManifest, name, c.Blocks)
	}
	root, err := c.Root()
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrManifest, name, err)
	}
	if len(c.Patches) > maxPatches {
		return fmt.Errorf("%w: %s has %d patches", ErrManifest, name, len(c.Patches))
	}
	for _, p := range c.Patches {
		if _, err := verity.ParseRoot(p.From, 1); err != nil {
			return fmt.Errorf("%w: patch of %s: %w", ErrManifest, name, err)
		}
		if err := p.check(PatchFile(name, p.From), 0, c.Payload.Size); err != nil {
			return err
		}
	}
	// Data that cannot be compressed grows by a few bytes in each frame.
	largest, index := c.Size()+int64(c.Blocks)*64, payload.IndexSize(c.Blocks)
	if c.Whole != nil {
		if err := c.Whole.check(WholeFile(name), 1, largest); err != nil {
			return err
		}
	}
	return errors.Join(
		c.Tree.check(TreeFile(name), root.TreeSize(), root.TreeSize()),
		c.Payload.check(PayloadFile(name), index, largest+index),
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

// Root returns the root of the hash tree of the content.
func (c Content) Root() (verity.Root, error) { return verity.ParseRoot(c.RootHash, c.Blocks) }

// Size returns the size of the data in bytes.
func (c Content) Size() int64 { return int64(c.Blocks) * verity.BlockSize }

// Files returns the files of the content by their names in the release.
func (c Content) Files(name string) map[string]File {
	files := map[string]File{TreeFile(name): c.Tree, PayloadFile(name): c.Payload}
	if c.Whole != nil {
		files[WholeFile(name)] = *c.Whole
	}
	for _, p := range c.Patches {
		files[PatchFile(name, p.From)] = p.File
	}
	return files
}

// Directory returns the directory of a release in the repository.
func Directory(board, version string) string { return path.Join(board, version) }

// ValidVersion reports whether a version is valid: "4891.0.0", maybe with a suffix as in
// Semantic Versioning.
func ValidVersion(version string) bool {
	return len(version) <= 64 && semver.IsValid("v"+version) && strings.Count(version, ".") >= 2
}

// Compare returns -1, 0 or 1 if version a is older than, equal to or newer than b, by
// Semantic Versioning. It ignores a suffix after "+".
func Compare(a, b string) int { return semver.Compare("v"+a, "v"+b) }
