package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The keys of a build. They are in one directory with the root metadata that names them.
const (
	rootKeyFile    = "root.key"
	targetsKeyFile = "targets.key"
	onlineKeyFile  = "online.key"
)

// MakeKeys makes the keys with which a build signs releases, and the first root metadata:
// one key for each of the roles root, targets and online. It does nothing if the directory
// has root metadata. Builders who keep the keys elsewhere put only metadata/N.root.json
// there.
func MakeKeys(dir string) (made bool, err error) {
	r := Open(dir)
	_, err = r.Root()
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("make keys: %w", err)
	}
	roles := map[string]RoleKeys{}
	for role, file := range map[string]string{
		metadata.ROOT: rootKeyFile, metadata.TARGETS: targetsKeyFile, metadata.SNAPSHOT: onlineKeyFile, metadata.TIMESTAMP: onlineKeyFile,
	} {
		path := filepath.Join(dir, file)
		// Keys of an interrupted run are used.
		if err := GenerateKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		key, err := ReadPublicKey(path + ".pub")
		if err != nil {
			return false, err
		}
		roles[role] = RoleKeys{[]*metadata.Key{key}, 1}
	}
	if err := r.StageRoot(roles); err != nil {
		return false, err
	}
	key, err := ReadKey(filepath.Join(dir, rootKeyFile))
	if err != nil {
		return false, err
	}
	if err := Sign(r.stagedPath(metadata.ROOT), key); err != nil {
		return false, err
	}
	_, err = r.publishRoot()
	return true, err
}

// Pack adds a build to the repository, signs it with the keys in a directory, publishes it
// as the version of a channel, and writes its bundle. An empty repository gets the root
// metadata in the directory of the keys.
func (r *Repository) Pack(ctx context.Context, keys, board, channel string, images Images, packing Packing, bundle io.Writer) error {
	if _, err := r.Root(); errors.Is(err, fs.ErrNotExist) {
		if err := os.CopyFS(filepath.Join(r.dir, "metadata"), os.DirFS(filepath.Join(keys, "metadata"))); err != nil {
			return fmt.Errorf("root metadata: %w", err)
		}
	}
	targets, err := ReadKey(filepath.Join(keys, targetsKeyFile))
	if err != nil {
		return err
	}
	online, err := ReadKey(filepath.Join(keys, onlineKeyFile))
	if err != nil {
		return err
	}
	m, err := r.AddRelease(ctx, board, "", images, packing)
	if err != nil {
		return err
	}
	if err := r.SetChannel(board, channel, m.Version); err != nil {
		return err
	}
	if err := Sign(r.stagedPath(metadata.TARGETS), targets); err != nil {
		return err
	}
	if err := r.Publish(online); err != nil {
		return err
	}
	return r.WriteBundle(ctx, bundle, board, m.Version, BundleFormat)
}
