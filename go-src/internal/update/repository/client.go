package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"coreos/internal/update/release"
)

// Bounds of what is read from a repository before it is known to be genuine.
const (
	maxRoot      = 256 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 256 << 10
	maxTargets   = 4 << 20
	maxChannel   = 4 << 10
	maxRotations = 256
)

// Errors of a repository that is not to be trusted, each of them an attack or the
// neglect of whoever keeps it.
var (
	// ErrWrongKey: metadata is not signed by the keys that count.
	ErrWrongKey = errors.New("not signed by the keys that this machine trusts")
	// ErrExpired: metadata has expired; someone may hold back newer one.
	ErrExpired = errors.New("its metadata has expired")
	// ErrOlder: metadata is older than what this machine has seen.
	ErrOlder = errors.New("it is in an older state than this machine has seen")
	// ErrMixed: a file is not the one that the metadata names.
	ErrMixed = errors.New("its files do not belong together")
)

// Files reads the files of a repository, by their paths below it.
type Files interface {
	// Get returns a file of at most most bytes. fs.ErrNotExist says that it is not
	// there.
	Get(ctx context.Context, name string, most int64) ([]byte, error)
}

// Client reads a repository as a machine does: only what is signed by the keys that the
// machine was given counts, nothing older than it has seen, nothing that has expired.
type Client struct {
	files Files
	find  func(target string) (*metadata.TargetFiles, error)
}

// ClientConfig says where a repository is and what a machine knows of it.
type ClientConfig struct {
	Files Files
	// Root is the root metadata that the machine trusts to begin with.
	Root []byte
	// StateDir keeps what the machine has seen of the repository's metadata.
	StateDir string
	// Now is the time by which metadata expires.
	Now time.Time
}

// NewClient reads and checks the repository's metadata.
func NewClient(ctx context.Context, c ClientConfig) (*Client, error) {
	seen, err := openSeen(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	defer seen.close()
	tuf, err := updater.New(&config.UpdaterConfig{
		MaxRootRotations: maxRotations, MaxDelegations: 1,
		RootMaxLength: maxRoot, TimestampMaxLength: maxTimestamp, SnapshotMaxLength: maxSnapshot, TargetsMaxLength: maxTargets,
		Fetcher: fetcher{ctx, c.Files}, LocalTrustedRoot: c.Root, LocalMetadataDir: seen.work, LocalTargetsDir: seen.work,
		RemoteMetadataURL: baseURL + "metadata", RemoteTargetsURL: baseURL, PrefixTargetsWithHash: true,
	})
	if err != nil {
		return nil, fmt.Errorf("repository: %w", explain(err))
	}
	tuf.UnsafeSetRefTime(c.Now)
	// What was seen before an error counts as well: a new root above all.
	if err := errors.Join(tuf.Refresh(), seen.keep()); err != nil {
		return nil, fmt.Errorf("repository: %w", explain(err))
	}
	return &Client{c.Files, tuf.GetTargetInfo}, nil
}

// baseURL stands for the repository where the TUF library wants a URL.
const baseURL = "repository:/"

// fetcher reads metadata for the TUF library.
type fetcher struct {
	ctx   context.Context
	files Files
}

// DownloadFile is for the library's fetcher.Fetcher.
func (f fetcher) DownloadFile(url string, most int64, _ time.Duration) ([]byte, error) {
	text, err := f.files.Get(f.ctx, strings.TrimPrefix(url, baseURL), most)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(&metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: url}, err)
	}
	return text, err
}

// explain says in our words what the TUF library found wrong.
func explain(err error) error {
	for _, known := range []struct{ theirs, ours error }{
		{&metadata.ErrUnsignedMetadata{}, ErrWrongKey},
		{&metadata.ErrExpiredMetadata{}, ErrExpired},
		{&metadata.ErrBadVersionNumber{}, ErrOlder},
		{&metadata.ErrLengthOrHashMismatch{}, ErrMixed},
	} {
		if errors.Is(err, known.theirs) {
			return fmt.Errorf("%w: %w", known.ours, err)
		}
	}
	return err
}

// Manifest returns the manifest of a version.
func (c *Client) Manifest(ctx context.Context, board, version string) (*release.Manifest, error) {
	if !release.ValidVersion(version) {
		return nil, fmt.Errorf("version %.80q cannot be one of a release", version)
	}
	text, err := c.target(ctx, ManifestTarget(board, version), release.MaxManifest)
	if err != nil {
		return nil, err
	}
	m, err := release.ReadManifest(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if m.Board != board || m.Version != version {
		return nil, fmt.Errorf("%w: it is of version %s for %s, want %s for %s", release.ErrManifest, m.Version, m.Board, version, board)
	}
	return m, nil
}

// Channel returns the version that a channel has.
func (c *Client) Channel(ctx context.Context, board, channel string) (string, error) {
	if !release.ValidName(channel) {
		return "", fmt.Errorf("channel: %w %.40q", ErrName, channel)
	}
	text, err := c.target(ctx, ChannelTarget(board, channel), maxChannel)
	if err != nil {
		return "", err
	}
	var has Channel
	if err := json.Unmarshal(text, &has); err != nil {
		return "", fmt.Errorf("channel %s: %w", channel, err)
	}
	if !release.ValidVersion(has.Version) {
		return "", fmt.Errorf("channel %s has the version %.80q", channel, has.Version)
	}
	return has.Version, nil
}

// ErrTooLarge says that a target is larger than any good one.
var ErrTooLarge = errors.New("too large")

// target reads a target and checks that it is the one that was signed.
func (c *Client) target(ctx context.Context, name string, most int64) ([]byte, error) {
	info, err := c.find(name)
	if err != nil {
		return nil, fmt.Errorf("repository: %s: %w", name, err)
	}
	if info.Length > most {
		return nil, fmt.Errorf("repository: %s of %d bytes: %w", name, info.Length, ErrTooLarge)
	}
	text, err := c.files.Get(ctx, targetPath(name, info), info.Length)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	if err := info.VerifyLengthHashes(text); err != nil {
		return nil, fmt.Errorf("repository: %s: %w", name, explain(err))
	}
	return text, nil
}

// targetPath is where a target's file lies: its hash is part of the name, so that an old
// and a new one can be there together.
func targetPath(name string, info *metadata.TargetFiles) string {
	return path.Join(path.Dir(name), fmt.Sprintf("%s.%s", info.Hashes["sha256"], path.Base(name)))
}
