package repository

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"coreos/internal/update/release"
)

// WriteBundle writes a release as one file, for machines without a network: a tar archive
// with all root metadata, the targets metadata and the files of the release, under their
// names in the repository.
func (r *Repository) WriteBundle(ctx context.Context, w io.Writer, board, version string, format int) error {
	manifest, err := r.Manifest(ctx, board, version)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	switch {
	case format != PayloadBundle && format != BundleFormat:
		return fmt.Errorf("bundle: format %d: want %d or %d", format, PayloadBundle, BundleFormat)
	case manifest.Usr.Whole == nil:
		format = PayloadBundle // an older release has only this
	}
	names, err := r.bundleFiles(board, version, format)
	if err != nil {
		return fmt.Errorf("bundle of version %s for %s: %w", version, board, err)
	}
	archive := tar.NewWriter(w)
	if format > PayloadBundle {
		if err := archive.WriteHeader(formatHeader(format)); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	for _, name := range names {
		if err := r.addFile(archive, name.inBundle, name.inRepository); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	return archive.Close()
}

type bundleFile struct{ inBundle, inRepository string }

func (r *Repository) bundleFiles(board, version string, format int) ([]bundleFile, error) {
	root, targets, err := r.published()
	if err != nil {
		return nil, err
	}
	manifest := ManifestTarget(board, version)
	info, ok := targets.Signed.Targets[manifest]
	if !ok {
		return nil, fmt.Errorf("%s: %w", manifest, fs.ErrNotExist)
	}
	var files []bundleFile
	for n := range root.Signed.Version {
		name := fmt.Sprintf("metadata/%d.root.json", n+1)
		files = append(files, bundleFile{name, name})
	}
	files = append(files,
		bundleFile{bundleTargets, fmt.Sprintf("metadata/%d.targets.json", targets.Signed.Version)},
		bundleFile{targetPath(manifest, info), targetPath(manifest, info)})
	data := []string{release.PayloadFile(release.Boot), release.WholeFile(release.Usr)}
	if format == PayloadBundle {
		data = []string{release.TreeFile(release.Boot), release.PayloadFile(release.Boot), release.TreeFile(release.Usr), release.PayloadFile(release.Usr)}
	}
	for _, name := range data {
		name = path.Join(release.Directory(board, version), name)
		files = append(files, bundleFile{name, name})
	}
	return files, nil
}

// addFile adds a file. Its header does not depend on the time or the user.
func (r *Repository) addFile(archive *tar.Writer, name, from string) error {
	file, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(from)))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
