package repository

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/verity"
	"coreos/internal/update/patch"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// Patches is the default number of older versions from which a release gets patches. Nearly
// all machines run one of them.
const Patches = 3

// older returns the published releases for a board that are older than a version, the
// newest first, at most most of them.
func (r *Repository) older(ctx context.Context, board, version string, most int) ([]*release.Manifest, error) {
	targets, err := current[metadata.TargetsType](r, metadata.TARGETS)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	client := r.client(targets)
	var versions []string
	for name := range targets.Signed.Targets {
		if of, other, ok := releaseOf(name); ok && of == board && release.Compare(other, version) < 0 {
			versions = append(versions, other)
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return release.Compare(b, a) })
	var manifests []*release.Manifest
	for _, version := range versions[:min(most, len(versions))] {
		m, err := client.Manifest(ctx, board, version)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, m)
	}
	return manifests, nil
}

// addPatches writes patches from older versions to the directory made, and adds them to the
// manifest. It makes no patch from a version that has too little in common, or whose files
// have changed.
func (r *Repository) addPatches(ctx context.Context, m *release.Manifest, usr io.ReaderAt, made string, most int) error {
	olders, err := r.older(ctx, m.Board, m.Version, most)
	if err != nil {
		return fmt.Errorf("patches: %w", err)
	}
	root, err := m.Usr.Root()
	if err != nil {
		return err
	}
	tree, err := readTree(filepath.Join(made, release.TreeFile(release.Usr)), root)
	if err != nil {
		return err
	}
	for _, older := range olders {
		if older.Usr.RootHash == m.Usr.RootHash {
			continue
		}
		p, err := r.addPatch(ctx, patch.Version{Tree: tree, Data: usr}, m.Usr.Whole.Size, older, made)
		switch {
		case errors.Is(err, patch.ErrTooLarge), errors.Is(err, fs.ErrNotExist), errors.Is(err, verity.ErrMismatch), errors.Is(err, payload.ErrFormat):
			slog.Warn("there is no patch from an older version", "version", older.Version, "reason", err)
		case err != nil:
			return fmt.Errorf("patch from version %s: %w", older.Version, err)
		default:
			m.Usr.Patches = append(m.Usr.Patches, p)
		}
	}
	return nil
}

// addPatch writes the patch from an older version.
func (r *Repository) addPatch(ctx context.Context, newer patch.Version, most int64, from *release.Manifest, made string) (release.Patch, error) {
	older, err := r.unpack(from, made)
	if err != nil {
		return release.Patch{}, err
	}
	defer older.Close()
	p := release.Patch{From: hex.EncodeToString(older.tree.Hash[:])}
	path := filepath.Join(made, release.PatchFile(release.Usr, p.From))
	p.File, err = writeHashed(path, func(w io.Writer) error {
		return patch.Write(ctx, w, newer, patch.Version{Tree: older.tree, Data: older}, most)
	})
	if err != nil {
		return release.Patch{}, errors.Join(err, os.Remove(path))
	}
	return p, nil
}

// unpacked is the unpacked /usr of a published version.
type unpacked struct {
	*os.File
	tree *verity.Tree
}

// unpack unpacks the /usr of a version to a file that is deleted when it is closed.
func (r *Repository) unpack(m *release.Manifest, dir string) (*unpacked, error) {
	root, err := m.Usr.Root()
	if err != nil {
		return nil, err
	}
	from := filepath.Join(r.dir, release.Directory(m.Board, m.Version))
	tree, err := readTree(filepath.Join(from, release.TreeFile(release.Usr)), root)
	if err != nil {
		return nil, err
	}
	packed, err := os.Open(filepath.Join(from, release.PayloadFile(release.Usr)))
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	file, err := os.CreateTemp(dir, ".usr-")
	if err != nil {
		return nil, err
	}
	err = payload.Stream(packed, root.Blocks, func(_ uint64, data []byte) error {
		_, err := file.Write(data)
		return err
	})
	if err := errors.Join(err, os.Remove(file.Name())); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &unpacked{file, tree}, nil
}

func readTree(path string, root verity.Root) (*verity.Tree, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return root.ReadTree(file)
}
