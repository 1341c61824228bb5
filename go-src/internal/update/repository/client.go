package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/update/release"
)

// Size limits of files that are not verified yet.
const (
	maxRoot      = 256 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 256 << 10
	maxTargets   = 4 << 20
	maxChannel   = 4 << 10
	maxRotations = 256
)

// Errors of a repository that cannot be trusted: it is under attack or neglected.
var (
	// ErrWrongKey: metadata is not signed by the trusted keys.
	ErrWrongKey = errors.New("not signed by the keys that this machine trusts")
	// ErrExpired: metadata has expired, maybe because an attacker withholds newer metadata.
	ErrExpired = errors.New("its metadata has expired")
	// ErrOlder: metadata is older than metadata that this machine has seen.
	ErrOlder = errors.New("it is in an older state than this machine has seen")
	// ErrMixed: a file is not the one that the metadata names.
	ErrMixed = errors.New("its files do not belong together")
	// ErrAhead: a version number is so high that no repository gets there.
	ErrAhead = errors.New("its version is too far ahead of what this machine has seen")
	// ErrVersion: a version number is not positive.
	ErrVersion = errors.New("there is no version")
	// ErrDelegation: targets metadata gives targets to other roles.
	ErrDelegation = errors.New("it delegates targets to other keys, which this system does not accept")
	// ErrMalformed: metadata is not what The Update Framework 1.0 says.
	ErrMalformed = errors.New("not valid metadata")
)

// Files reads the files of a repository by their paths.
type Files interface {
	// Get returns a file of at most most bytes, or fs.ErrNotExist if there is no such file.
	Get(ctx context.Context, name string, most int64) ([]byte, error)
}

// Client reads a repository as a machine does: it accepts only what is signed by the
// trusted keys, is not older than what it has seen, and has not expired.
type Client struct {
	files Files
	find  func(target string) (*metadata.TargetFiles, error)
}

// ClientConfig has the files of a repository, and what the machine knows about the
// repository.
type ClientConfig struct {
	Files Files
	// Root is the root metadata of the running system.
	Root []byte
	// StateDir is the directory of the metadata that the machine has verified.
	StateDir string
	// Now is the time for which expiry is checked.
	Now time.Time
	// NotBefore is a time that has certainly passed. If Now is earlier, the clock is behind,
	// and NotBefore counts.
	NotBefore time.Time
}

// NewClient reads and verifies the metadata of the repository.
func NewClient(ctx context.Context, c ClientConfig) (*Client, error) {
	client, err := online(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	return client, nil
}

func online(ctx context.Context, c ClientConfig) (*Client, error) {
	t, err := newTrust(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := t.timestamp(ctx); err != nil {
		return nil, err
	}
	if err := t.snapshot(ctx); err != nil {
		return nil, err
	}
	targets, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	return &Client{c.Files, findIn(targets)}, t.seen.observe(t.set.RefTime)
}

// NewBundleClient verifies the metadata of a bundle. The person who brings a bundle has
// chosen the version, so there is no timestamp to check. The metadata must be signed by the
// trusted keys, must not have expired, and must not be older than the metadata that the
// machine has seen. From then on it counts as seen.
func NewBundleClient(ctx context.Context, c ClientConfig) (*Client, error) {
	t, err := newTrust(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	targets, err := t.carried(ctx)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return &Client{c.Files, findIn(targets)}, nil
}

// Manifest returns the manifest of a version.
func (c *Client) Manifest(ctx context.Context, board, version string) (*release.Manifest, error) {
	if !release.ValidVersion(version) {
		return nil, fmt.Errorf("%.80q is not a valid version", version)
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
		return nil, fmt.Errorf("%w: it is for version %s on %s, want version %s on %s", release.ErrManifest, m.Version, m.Board, version, board)
	}
	return m, nil
}

// Channel returns the version of a channel.
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
		return "", fmt.Errorf("channel %s: %w: %w", channel, ErrMalformed, err)
	}
	if !release.ValidVersion(has.Version) {
		return "", fmt.Errorf("channel %s: %w: %.80q is no version", channel, ErrMalformed, has.Version)
	}
	return has.Version, nil
}

// ErrTooLarge says that a target exceeds the size limit.
var ErrTooLarge = errors.New("too large")

// target reads a target and verifies it.
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

// targetPath returns the path of the file of a target. Its hash is part of the name, so
// that an old and a new version can exist together.
func targetPath(name string, info *metadata.TargetFiles) string {
	return path.Join(path.Dir(name), fmt.Sprintf("%s.%s", info.Hashes["sha256"], path.Base(name)))
}
