package repository

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"coreos/internal/update/release"
)

// bundleTargets is the name of the targets metadata in a bundle, which has no number.
const bundleTargets = "metadata/targets.json"

// Formats of bundles.
const (
	// PayloadBundle has the payload of /usr. All machines can read it.
	PayloadBundle = 1
	// BundleFormat has the whole stream of /usr instead, which is a third smaller, and no
	// hash trees: the machine computes them from the data. It is the newest format.
	BundleFormat = 2
)

// formatRecord is the record in the header of a bundle with its format.
const formatRecord = "COREOS.bundle"

// formatHeader is the first header of a bundle in a format after the first. Systems that
// read only the first format refuse it before they change the disk, and show the name of
// the header. tar(1) skips it.
func formatHeader(format int) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeXGlobalHeader, Name: fmt.Sprintf("format %d, for newer systems: releasectl bundle --format 1 makes one for this", format),
		PAXRecords: map[string]string{formatRecord: strconv.Itoa(format)},
	}
}

// Bundle is an open bundle.
type Bundle struct {
	file    io.ReaderAt
	format  int
	members map[string]member
	// Board and Version are those of its release. They are not verified yet.
	Board, Version string
}

type member struct{ offset, size int64 }

// maxMembers is the limit of members of a bundle.
const maxMembers = maxRotations + 16

// ErrBundle is in the chain of each error about a file that is not a valid bundle. The others
// say what is wrong with it.
var (
	ErrBundle    = errors.New("not an update bundle")
	ErrTruncated = errors.New("it is cut off")
	ErrLink      = errors.New("it has a link")
	ErrNoFile    = errors.New("it has something that is no file")
	ErrHuge      = errors.New("it has a file that is larger than any release")
	ErrBadName   = errors.New("it has a file with a bad name")
	ErrTwice     = errors.New("it has a file twice")
)

// maxMember is the limit of the size of a member.
const maxMember = 1 << 40

// OpenBundle reads the table of a bundle of size bytes. Nothing in it is trusted until a
// client has verified it.
func OpenBundle(file io.ReaderAt, size int64) (*Bundle, error) {
	if size == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrBundle)
	}
	b := &Bundle{file: file, format: PayloadBundle, members: map[string]member{}}
	section := io.NewSectionReader(file, 0, size)
	archive := tar.NewReader(section)
	for range maxMembers {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			if b.Board == "" {
				return nil, fmt.Errorf("%w: it has no manifest", ErrBundle)
			}
			return b, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: %w in a header", ErrBundle, ErrTruncated)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBundle, err)
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBundle, err)
		}
		if format, ok := header.PAXRecords[formatRecord]; ok && header.Typeflag == tar.TypeXGlobalHeader {
			if format != strconv.Itoa(BundleFormat) {
				return nil, fmt.Errorf("%w: format %.20q, this system reads %d: update to a version in between first", ErrBundle, format, BundleFormat)
			}
			b.format = BundleFormat
			continue
		}
		if err := b.checkMember(header, size-offset); err != nil {
			return nil, fmt.Errorf("%w: %w: %.80q", ErrBundle, err, header.Name)
		}
		b.members[header.Name] = member{offset, header.Size}
		if strings.HasSuffix(header.Name, "."+release.ManifestFile) {
			dir := path.Dir(header.Name)
			b.Board, b.Version = path.Dir(dir), path.Base(dir)
		}
	}
	return nil, fmt.Errorf("%w: more than %d members", ErrBundle, maxMembers)
}

// checkMember checks the header of a member; left is how many bytes the bundle has behind it.
func (b *Bundle) checkMember(header *tar.Header, left int64) error {
	_, twice := b.members[header.Name]
	manifest := strings.HasSuffix(header.Name, "."+release.ManifestFile)
	switch {
	case header.Typeflag == tar.TypeSymlink || header.Typeflag == tar.TypeLink:
		return ErrLink
	case header.Typeflag != tar.TypeReg || isSparse(header):
		return ErrNoFile
	case header.Size > maxMember:
		return ErrHuge
	case header.Size > left:
		return ErrTruncated
	case !fs.ValidPath(header.Name):
		return ErrBadName
	case twice || manifest && b.Board != "":
		return ErrTwice
	}
	return nil
}

// isSparse reports whether a file has holes that the archive leaves out, so that its bytes are
// not where its size says.
func isSparse(header *tar.Header) bool {
	for name := range header.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (b *Bundle) find(name string) (*io.SectionReader, error) {
	m, ok := b.members[name]
	if !ok {
		return nil, fmt.Errorf("bundle: %s: %w", name, fs.ErrNotExist)
	}
	return io.NewSectionReader(b.file, m.offset, m.size), nil
}

// Get implements Files.
func (b *Bundle) Get(_ context.Context, name string, most int64) ([]byte, error) {
	section, err := b.find(name)
	if err != nil {
		return nil, err
	}
	if section.Size() > most {
		return nil, fmt.Errorf("%w: %s of %d bytes", ErrBundle, name, section.Size())
	}
	return io.ReadAll(section)
}

// findFile returns a file of the release. It returns release.ErrLeftOut for a hash tree that
// the format of the bundle leaves out.
func (b *Bundle) findFile(name string) (*io.SectionReader, error) {
	section, err := b.find(path.Join(release.Directory(b.Board, b.Version), name))
	trees := []string{release.TreeFile(release.Boot), release.TreeFile(release.Usr)}
	if errors.Is(err, fs.ErrNotExist) && b.format > PayloadBundle && slices.Contains(trees, name) {
		return nil, fmt.Errorf("bundle: %s: %w", name, release.ErrLeftOut)
	}
	return section, err
}

// Open opens a file of the release in the bundle.
func (b *Bundle) Open(_ context.Context, name string) (io.ReadCloser, error) {
	section, err := b.findFile(name)
	return io.NopCloser(section), err
}

// ReadRange reads a part of a file of the release in the bundle.
func (b *Bundle) ReadRange(_ context.Context, name string, offset int64, to []byte) error {
	section, err := b.findFile(name)
	if err != nil {
		return err
	}
	if _, err := section.ReadAt(to, offset); err != nil {
		return fmt.Errorf("%w: %s ends early: %w", ErrBundle, name, err)
	}
	return nil
}

// ReadRanges reads parts of a file of the release in the bundle.
func (b *Bundle) ReadRanges(ctx context.Context, name string, offsets []int64, to [][]byte) error {
	for i, offset := range offsets {
		if err := b.ReadRange(ctx, name, offset, to[i]); err != nil {
			return err
		}
	}
	return nil
}
