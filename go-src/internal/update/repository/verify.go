package repository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/host/bounded"
	"coreos/internal/update/release"
)

// releaseOf splits the target name of a manifest.
func releaseOf(target string) (board, version string, ok bool) {
	dir, ok := strings.CutSuffix(target, "/"+release.ManifestFile)
	board, version = path.Split(dir)
	return strings.TrimSuffix(board, "/"), version, ok
}

// RemoveRelease stages the removal of a version, which must be in no channel. Its files
// stay until machines have seen the new metadata; Verify returns files that are not needed.
func (r *Repository) RemoveRelease(board, version string) error {
	state, err := r.Describe()
	if err != nil {
		return err
	}
	for _, channel := range state.Channels {
		if channel.Board == board && channel.Version == version {
			return fmt.Errorf("version %s for %s is in channel %s: give the channel another version first", version, board, channel.Name)
		}
	}
	return r.stageTargets(func(targets map[string]*metadata.TargetFiles) error {
		name := ManifestTarget(board, version)
		if _, ok := targets[name]; !ok {
			return fmt.Errorf("version %s for %s is not in the repository", version, board)
		}
		delete(targets, name)
		return nil
	})
}

// State describes what a repository has published.
type State struct {
	Roles    []RoleState    `json:"roles"`
	Releases []ReleaseState `json:"releases"`
	Channels []ChannelState `json:"channels"`
}

// RoleState is the metadata of a role.
type RoleState struct {
	Name      string    `json:"name"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires"`
	Keys      []string  `json:"keys"` // the ids of its keys
	Threshold int       `json:"threshold"`
}

// ReleaseState is a published version.
type ReleaseState struct {
	Board   string `json:"board"`
	Version string `json:"version"`
}

// ChannelState is the version of a channel.
type ChannelState struct {
	Board   string `json:"board"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// diskFiles reads the files of a repository on this machine.
type diskFiles string

// Get implements Files.
func (dir diskFiles) Get(_ context.Context, name string, most int64) ([]byte, error) {
	return bounded.ReadFile(filepath.Join(string(dir), filepath.FromSlash(name)), most)
}

// findIn returns a function that finds targets in targets metadata.
func findIn(targets *metadata.Metadata[metadata.TargetsType]) func(string) (*metadata.TargetFiles, error) {
	return func(name string) (*metadata.TargetFiles, error) {
		info, ok := targets.Signed.Targets[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return info, nil
	}
}

// Describe returns a description of what is published.
func (r *Repository) Describe() (*State, error) {
	root, targets, err := r.published()
	if err != nil {
		return nil, err
	}
	snapshot, err := current[metadata.SnapshotType](r, metadata.SNAPSHOT)
	if err != nil {
		return nil, err
	}
	timestamp, err := read[metadata.TimestampType](r.metadataPath("timestamp.json"))
	if err != nil {
		return nil, err
	}
	role := func(name string, version int64, expires time.Time) RoleState {
		keys := root.Signed.Roles[name]
		return RoleState{name, version, expires, keys.KeyIDs, keys.Threshold}
	}
	state := &State{Roles: []RoleState{
		role(metadata.ROOT, root.Signed.Version, root.Signed.Expires),
		role(metadata.TARGETS, targets.Signed.Version, targets.Signed.Expires),
		role(metadata.SNAPSHOT, snapshot.Signed.Version, snapshot.Signed.Expires),
		role(metadata.TIMESTAMP, timestamp.Signed.Version, timestamp.Signed.Expires),
	}}
	client := r.client(targets)
	for _, name := range slices.Sorted(maps.Keys(targets.Signed.Targets)) {
		if board, version, ok := releaseOf(name); ok {
			state.Releases = append(state.Releases, ReleaseState{board, version})
			continue
		}
		board, channel := path.Base(path.Dir(name)), strings.TrimSuffix(path.Base(name), ".json")
		version, err := client.Channel(context.Background(), board, channel)
		if err != nil {
			return nil, err
		}
		state.Channels = append(state.Channels, ChannelState{board, channel, version})
	}
	return state, nil
}

// client returns a client of the repository itself.
func (r *Repository) client(targets *metadata.Metadata[metadata.TargetsType]) *Client {
	return &Client{diskFiles(r.dir), findIn(targets)}
}

// Manifest returns the manifest of a published version.
func (r *Repository) Manifest(ctx context.Context, board, version string) (*release.Manifest, error) {
	targets, err := current[metadata.TargetsType](r, metadata.TARGETS)
	if err != nil {
		return nil, err
	}
	if _, ok := targets.Signed.Targets[ManifestTarget(board, version)]; !ok {
		return nil, fmt.Errorf("version %s for %s is not in the repository", version, board)
	}
	return r.client(targets).Manifest(ctx, board, version)
}

// Verify verifies the whole repository as a machine with the given root metadata would at a
// time: all signatures, and every byte of every release. It returns the files that nothing
// refers to.
func (r *Repository) Verify(ctx context.Context, root []byte, now time.Time) (unused []string, err error) {
	seen, err := os.MkdirTemp("", "repository-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(seen)
	client, err := NewClient(ctx, ClientConfig{Files: diskFiles(r.dir), Root: root, StateDir: seen, Now: now})
	if err != nil {
		return nil, err
	}
	state, err := r.Describe()
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, has := range state.Releases {
		m, err := client.Manifest(ctx, has.Board, has.Version)
		if err != nil {
			return nil, err
		}
		for name, content := range map[string]release.Content{release.Boot: m.Boot, release.Usr: m.Usr} {
			for name, file := range content.Files(name) {
				name = path.Join(release.Directory(m.Board, m.Version), name)
				used[name] = true
				if err := r.verifyFile(ctx, name, file); err != nil {
					return nil, err
				}
			}
		}
	}
	return r.unused(used)
}

func (r *Repository) verifyFile(ctx context.Context, name string, want release.File) error {
	file, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); size != want.Size || got != want.SHA256 {
		return fmt.Errorf("%s: %w: %d bytes with SHA-256 %s, want %d with %s", name, ErrMixed, size, got, want.Size, want.SHA256)
	}
	return nil
}

// unused returns the release files that are not used.
func (r *Repository) unused(used map[string]bool) ([]string, error) {
	var unused []string
	err := fs.WalkDir(os.DirFS(r.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && slices.Contains([]string{".verity", ".zst", ".patch"}, path.Ext(name)) && !used[name] {
			unused = append(unused, name)
		}
		return err
	})
	return unused, err
}
