package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/verity"
	"coreos/internal/host/bounded"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// Channel is the version of a channel.
type Channel struct {
	Version string `json:"version"`
}

// ManifestTarget returns the target name of the manifest of a release.
func ManifestTarget(board, version string) string {
	return path.Join(release.Directory(board, version), release.ManifestFile)
}

// ChannelTarget returns the target name of a channel.
func ChannelTarget(board, channel string) string {
	return path.Join("channels", board, channel+".json")
}

// Images are the images of a build, and its release notes.
type Images struct {
	Boot, Usr string // paths
	// Notes is the path of the release notes, empty if there are none.
	Notes string
}

// notes reads the release notes. Manifest.Check checks their text.
func (i Images) notes() (string, error) {
	if i.Notes == "" {
		return "", nil
	}
	text, err := bounded.ReadFile(i.Notes, release.MaxNotes)
	if err != nil {
		return "", fmt.Errorf("release notes: %w", err)
	}
	return string(text), nil
}

// Packing are the options for packing a release.
type Packing struct {
	// Patches is the number of older versions from which patches are made.
	Patches int
	// Effort is the effort for compressing the whole stream of /usr.
	Effort payload.Effort
	// Progress, if it is not nil, is called often with the number of compressed bytes and
	// the total.
	Progress func(done, total int64)
}

// ErrName says that a name is not valid for a board or a channel.
var ErrName = errors.New("not a valid name")

// AddRelease adds the images of a build to the repository and stages the manifest. The
// version is read from the images.
func (r *Repository) AddRelease(ctx context.Context, board, minimumVersion string, images Images, packing Packing) (*release.Manifest, error) {
	if !release.ValidName(board) {
		return nil, fmt.Errorf("add a release: %w %q: want lower-case letters, digits and \"-\", as in amd64-usr", ErrName, board)
	}
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
	m := &release.Manifest{Format: release.Format, Board: board, Version: info.Version, MinimumVersion: minimumVersion}
	if !release.ValidVersion(m.Version) {
		return nil, fmt.Errorf("boot image %s: its version %q is not valid: want one such as 4891.0.0", images.Boot, m.Version)
	}
	if m.Notes, err = images.notes(); err != nil {
		return nil, err
	}
	root, err := cmdline.Usr(info.Cmdline)
	if err != nil {
		return nil, fmt.Errorf("boot image %s: its command line: %w", images.Boot, err)
	}
	if err := checkUsr(usr, root); err != nil {
		return nil, fmt.Errorf("/usr image %s: %w", images.Usr, err)
	}
	bootData, err := wholeBlocks(boot)
	if err != nil {
		return nil, fmt.Errorf("boot image %s: %w", images.Boot, err)
	}
	made, err := os.MkdirTemp(r.dir, ".release-")
	if err != nil {
		return nil, fmt.Errorf("add a release: %w", err)
	}
	defer os.RemoveAll(made)
	usrData := io.NewSectionReader(usr, 0, int64(root.Blocks)*verity.BlockSize)
	if err := writeContents(ctx, made, m, bytes.NewReader(bootData), usrData); err != nil {
		return nil, err
	}
	if m.Usr.RootHash != info.UsrHash() {
		return nil, fmt.Errorf("/usr image %s: its data do not match its hash tree", images.Usr)
	}
	// A boot image is compressed already, so that its stream would be as large as its
	// payload.
	if m.Usr.Whole, err = writeWhole(ctx, made, release.Usr, usrData, packing); err != nil {
		return nil, err
	}
	if err := r.addPatches(ctx, m, usr, made, packing.Patches); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, r.stageManifest(m, made)
}

// stageManifest moves the files in the directory made to the release, and stages the
// manifest. It never changes a version that machines may have.
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

// SetChannel stages a version of a channel. The version must be in the repository.
func (r *Repository) SetChannel(board, channel, version string) error {
	for _, name := range []string{board, channel} {
		if !release.ValidName(name) {
			return fmt.Errorf("set a channel: %w %q: want lower-case letters, digits and \"-\"", ErrName, name)
		}
	}
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

// writeTarget writes the file of a target, unless it exists.
func (r *Repository) writeTarget(name string, text []byte) (*metadata.TargetFiles, error) {
	target, err := metadata.TargetFile().FromBytes(name, text, "sha256")
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	file := filepath.Join(r.dir, filepath.FromSlash(targetPath(name, target)))
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, text) {
		return target, nil
	}
	return target, writeFile(file, text)
}
