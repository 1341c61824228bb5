package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/bootimage"
	"coreos/internal/payload"
	"coreos/internal/release"
	"coreos/internal/verity"
)

// Channel says which version a channel has.
type Channel struct {
	Version string `json:"version"`
}

// ManifestTarget is the name of a release's manifest among the targets.
func ManifestTarget(board, version string) string {
	return path.Join(release.Directory(board, version), release.ManifestFile)
}

// ChannelTarget is the name of a channel among the targets.
func ChannelTarget(board, channel string) string {
	return path.Join("channels", board, channel+".json")
}

// Images are the files that a build leaves for a slot.
type Images struct {
	Boot, Usr string
}

// AddRelease puts a build's images into the repository and stages its manifest. What
// the version is the images say themselves.
func (r *Repository) AddRelease(ctx context.Context, board, minimumVersion string, images Images) (*release.Manifest, error) {
	boot, err := os.Open(images.Boot)
	if err != nil {
		return nil, fmt.Errorf("add a release: %w", err)
	}
	defer boot.Close()
	info, err := bootimage.ReadInfo(boot)
	if err != nil {
		return nil, fmt.Errorf("boot image %s: %w", images.Boot, err)
	}
	usr, err := os.Open(images.Usr)
	if err != nil {
		return nil, fmt.Errorf("add a release: %w", err)
	}
	defer usr.Close()
	root, err := usrRoot(usr, info)
	if err != nil {
		return nil, fmt.Errorf("/usr image %s: %w", images.Usr, err)
	}
	m := &release.Manifest{Format: release.Format, Board: board, Version: info.Version, MinimumVersion: minimumVersion}
	m.Usr.RootHash, m.Usr.Blocks = info.UsrHash(), root.Blocks
	if !release.ValidVersion(m.Version) {
		return nil, fmt.Errorf("boot image %s: its version %q is not one that can be compared, such as 4891.0.0", images.Boot, m.Version)
	}
	made, err := os.MkdirTemp(r.dir, ".release-")
	if err != nil {
		return nil, fmt.Errorf("add a release: %w", err)
	}
	defer os.RemoveAll(made)
	if err := writeFiles(ctx, made, m, boot, usr, root); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, r.stageManifest(m, made)
}

// usrRoot finds out how many blocks of data an image has and checks that its hash tree
// is the one that the boot image names.
func usrRoot(usr *os.File, info bootimage.Info) (verity.Root, error) {
	stat, err := usr.Stat()
	if err != nil {
		return verity.Root{}, err
	}
	// Data, superblock and tree together are the image.
	total := stat.Size() / verity.BlockSize
	for blocks := uint64(total)*128/129 + 1; blocks > 0; blocks-- {
		root, err := verity.ParseRoot(info.UsrHash(), blocks)
		if err != nil {
			return verity.Root{}, err
		}
		switch size := root.TreeOffset() + root.TreeSize(); {
		case size < stat.Size():
			return verity.Root{}, errors.New("it does not end with a hash tree")
		case size == stat.Size():
			_, err := root.ReadTree(io.NewSectionReader(usr, root.TreeOffset(), root.TreeSize()))
			return root, err
		}
	}
	return verity.Root{}, errors.New("it is too small")
}

// writeFiles writes the release's files into a directory and notes their sizes and
// hashes.
func writeFiles(ctx context.Context, dir string, m *release.Manifest, boot, usr *os.File, root verity.Root) error {
	data := int64(root.Blocks) * verity.BlockSize
	for _, file := range []struct {
		name  string
		note  *release.File
		write func(io.Writer) error
	}{
		{release.BootFile, &m.Boot, func(w io.Writer) error {
			if _, err := boot.Seek(0, io.SeekStart); err != nil {
				return err
			}
			_, err := io.Copy(w, boot)
			return err
		}},
		{release.TreeFile, &m.Usr.Tree, func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(usr, data, root.TreeSize()+verity.BlockSize))
			return err
		}},
		{release.PayloadFile, &m.Usr.Payload, func(w io.Writer) error {
			return payload.Write(ctx, w, io.NewSectionReader(usr, 0, data), runtime.NumCPU())
		}},
	} {
		var err error
		if *file.note, err = writeHashed(filepath.Join(dir, file.name), file.write); err != nil {
			return fmt.Errorf("add a release: %s: %w", file.name, err)
		}
	}
	return nil
}

// writeHashed writes a file for good.
func writeHashed(path string, write func(io.Writer) error) (release.File, error) {
	file, err := os.Create(path)
	if err != nil {
		return release.File{}, err
	}
	defer file.Close()
	hash := sha256.New()
	if err := write(io.MultiWriter(file, hash)); err != nil {
		return release.File{}, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return release.File{}, err
	}
	return release.File{Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))}, file.Sync()
}

// stageManifest puts the files in the directory made to their place and stages the
// manifest. A version that machines may have is never changed.
func (r *Repository) stageManifest(m *release.Manifest, made string) error {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	name := ManifestTarget(m.Board, m.Version)
	return r.stageTargets(func(targets map[string]*metadata.TargetFiles) error {
		target, err := r.writeTarget(name, append(text, '\n'))
		if err != nil {
			return err
		}
		if old, ok := targets[name]; ok && !old.Equal(*target) {
			return fmt.Errorf("version %s for %s is in the repository with other content: give the build another version", m.Version, m.Board)
		}
		if err := moveFiles(made, filepath.Join(r.dir, release.Directory(m.Board, m.Version))); err != nil {
			return fmt.Errorf("add a release: %w", err)
		}
		targets[name] = target
		return nil
	})
}

// moveFiles moves the files of a directory to another one.
func moveFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// SetChannel stages that a channel has a version, which must be in the repository.
func (r *Repository) SetChannel(board, channel, version string) error {
	text, err := json.Marshal(Channel{Version: version})
	if err != nil {
		return err
	}
	return r.stageTargets(func(targets map[string]*metadata.TargetFiles) error {
		if _, ok := targets[ManifestTarget(board, version)]; !ok {
			return fmt.Errorf("version %s for %s is not in the repository", version, board)
		}
		target, err := r.writeTarget(ChannelTarget(board, channel), append(text, '\n'))
		if err != nil {
			return err
		}
		targets[ChannelTarget(board, channel)] = target
		return nil
	})
}

// writeTarget writes a target's file under the name that has its hash in it, as
// machines ask for it, so that an old and a new one can be there together.
func (r *Repository) writeTarget(name string, text []byte) (*metadata.TargetFiles, error) {
	target, err := metadata.TargetFile().FromBytes(name, text, "sha256")
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	file := filepath.Join(r.dir, filepath.FromSlash(path.Dir(name)), fmt.Sprintf("%s.%s", target.Hashes["sha256"], path.Base(name)))
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, text) {
		return target, nil
	}
	return target, writeFile(file, text)
}
