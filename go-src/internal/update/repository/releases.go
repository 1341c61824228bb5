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

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/verity"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
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

// Images are the files that a build leaves for a slot, and what is new in them.
type Images struct {
	Boot, Usr string // paths
	// Notes is the path of the release notes, empty if there are none.
	Notes string
}

// notes reads the release notes. Manifest.Check judges them.
func (i Images) notes() (string, error) {
	if i.Notes == "" {
		return "", nil
	}
	file, err := os.Open(i.Notes)
	if err != nil {
		return "", fmt.Errorf("release notes: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, release.MaxNotes+1))
	if err != nil {
		return "", fmt.Errorf("release notes: %w", err)
	}
	return string(text), nil
}

// Packing says how a release is packed.
type Packing struct {
	// Patches are made from so many older versions.
	Patches int
	// Effort goes into the whole stream of /usr.
	Effort payload.Effort
	// Progress is told, often, how many bytes of how many were compressed, unless it is
	// nil.
	Progress func(done, total int64)
}

// ErrName says that a board or channel cannot be called so.
var ErrName = errors.New("bad name")

// AddRelease puts a build's images into the repository and stages its manifest. What
// the version is the images say themselves.
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
		return nil, fmt.Errorf("boot image %s: its version %q is not one that can be compared, such as 4891.0.0", images.Boot, m.Version)
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
	made, err := os.MkdirTemp(r.dir, ".release-")
	if err != nil {
		return nil, fmt.Errorf("add a release: %w", err)
	}
	defer os.RemoveAll(made)
	bootData, err := wholeBlocks(boot)
	if err != nil {
		return nil, fmt.Errorf("boot image %s: %w", images.Boot, err)
	}
	if m.Boot, err = writeContent(ctx, made, release.Boot, bytes.NewReader(bootData)); err != nil {
		return nil, err
	}
	usrData := io.NewSectionReader(usr, 0, int64(root.Blocks)*verity.BlockSize)
	if m.Usr, err = writeContent(ctx, made, release.Usr, usrData); err != nil {
		return nil, err
	}
	if m.Usr.RootHash != info.UsrHash() {
		return nil, fmt.Errorf("/usr image %s: its data is not what its hash tree says", images.Usr)
	}
	// Of a boot image, which is compressed already, a stream is as long as its payload.
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

// checkUsr checks that behind an image's data lie the superblock and the hash tree of
// its root, and nothing else.
func checkUsr(usr *os.File, root verity.Root) error {
	stat, err := usr.Stat()
	if err != nil {
		return err
	}
	if want := root.TreeOffset() + root.TreeSize(); stat.Size() != want {
		return fmt.Errorf("it has %d bytes, but the boot image is of one with %d", stat.Size(), want)
	}
	if _, err := root.ReadTreeBehind(usr); err != nil {
		return err
	}
	superblock := make([]byte, verity.BlockSize)
	if _, err := usr.ReadAt(superblock, root.TreeOffset()-verity.BlockSize); err != nil {
		return err
	}
	if !bytes.Equal(superblock, root.Superblock()) {
		return errors.New("its superblock is not the one that machines write")
	}
	return nil
}

// wholeBlocks reads a boot image and fills up its last block with zeros, which end a
// tar archive as well.
func wholeBlocks(boot *os.File) ([]byte, error) {
	if _, err := boot.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(boot)
	return append(data, make([]byte, -len(data)&(verity.BlockSize-1))...), err
}

// writeContent writes the files of a content and describes it.
func writeContent(ctx context.Context, dir, name string, data io.ReadSeeker) (release.Content, error) {
	tree, err := verity.NewTree(data)
	if err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", name, err)
	}
	c := release.Content{RootHash: hex.EncodeToString(tree.Hash[:]), Blocks: tree.Blocks}
	c.Tree, err = writeHashed(filepath.Join(dir, release.TreeFile(name)), func(w io.Writer) error {
		_, err := w.Write(tree.Bytes())
		return err
	})
	if err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", release.TreeFile(name), err)
	}
	if _, err := data.Seek(0, io.SeekStart); err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", name, err)
	}
	c.Payload, err = writeHashed(filepath.Join(dir, release.PayloadFile(name)), func(w io.Writer) error {
		return payload.Write(ctx, w, data, runtime.NumCPU())
	})
	if err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", release.PayloadFile(name), err)
	}
	return c, nil
}

// writeWhole writes the whole stream of a content.
func writeWhole(ctx context.Context, dir, name string, data *io.SectionReader, packing Packing) (*release.File, error) {
	if _, err := data.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("add a release: %s: %w", name, err)
	}
	file, err := writeHashed(filepath.Join(dir, release.WholeFile(name)), func(w io.Writer) error {
		return payload.WriteWhole(ctx, w, &reported{data, 0, data.Size(), packing.Progress}, packing.Effort)
	})
	if err != nil {
		return nil, fmt.Errorf("add a release: %s: %w", release.WholeFile(name), err)
	}
	return &file, nil
}

// reported tells how much of a file was read.
type reported struct {
	io.Reader
	done, total int64
	report      func(done, total int64)
}

func (r *reported) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.done += int64(n); r.report != nil {
		r.report(r.done, r.total)
	}
	return n, err
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

// writeTarget writes a target's file, unless it is there.
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
