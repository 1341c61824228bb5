package repository

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"coreos/internal/release"
)

// Bounds of what is read from a repository before it is known to be genuine.
const (
	maxRoot      = 256 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 256 << 10
	maxTargets   = 4 << 20
	maxRotations = 256
)

// Client reads a repository as a machine does: only what is signed by the keys that the
// machine was given counts, nothing older than it has seen, nothing that has expired.
type Client struct {
	tuf *updater.Updater
}

// ClientConfig says where a repository is and what a machine knows of it.
type ClientConfig struct {
	// URL of the repository's directory.
	URL string
	// Root is the root metadata that the machine trusts to begin with.
	Root []byte
	// StateDir keeps what the machine has seen of the repository's metadata.
	StateDir string
	// Fetcher gets files; its time limits count.
	Fetcher fetcher.Fetcher
	// Now is the time by which metadata expires.
	Now time.Time
}

// NewClient reads and checks the repository's metadata.
func NewClient(c ClientConfig) (*Client, error) {
	base := strings.TrimSuffix(c.URL, "/")
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	tuf, err := updater.New(&config.UpdaterConfig{
		MaxRootRotations: maxRotations, MaxDelegations: 1,
		RootMaxLength: maxRoot, TimestampMaxLength: maxTimestamp, SnapshotMaxLength: maxSnapshot, TargetsMaxLength: maxTargets,
		Fetcher: c.Fetcher, LocalTrustedRoot: c.Root, LocalMetadataDir: c.StateDir, LocalTargetsDir: c.StateDir,
		RemoteMetadataURL: base + "/metadata", RemoteTargetsURL: base, PrefixTargetsWithHash: true,
	})
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", c.URL, err)
	}
	tuf.UnsafeSetRefTime(c.Now)
	if err := tuf.Refresh(); err != nil {
		return nil, fmt.Errorf("repository %s: %w", c.URL, err)
	}
	return &Client{tuf}, nil
}

// Manifest returns the manifest of a version.
func (c *Client) Manifest(board, version string) (*release.Manifest, error) {
	if !release.ValidVersion(version) {
		return nil, fmt.Errorf("version %.80q cannot be one of a release", version)
	}
	text, err := c.target(ManifestTarget(board, version), release.MaxManifest)
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
func (c *Client) Channel(board, channel string) (string, error) {
	if !release.ValidName(channel) {
		return "", fmt.Errorf("channel: %w %.40q", ErrName, channel)
	}
	text, err := c.target(ChannelTarget(board, channel), 4<<10)
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

// target downloads a target into memory.
func (c *Client) target(name string, most int64) ([]byte, error) {
	info, err := c.tuf.GetTargetInfo(name)
	if err != nil {
		return nil, fmt.Errorf("repository: %s: %w", name, err)
	}
	if info.Length > most {
		return nil, fmt.Errorf("repository: %s of %d bytes: %w", name, info.Length, ErrTooLarge)
	}
	temporary, err := os.MkdirTemp("", "target-")
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	defer os.RemoveAll(temporary)
	_, text, err := c.tuf.DownloadTarget(info, filepath.Join(temporary, "target"), "")
	if err != nil {
		return nil, fmt.Errorf("repository: %s: %w", name, err)
	}
	return text, nil
}
