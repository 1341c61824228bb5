package repository

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/bootimage/imagetest"
	"coreos/internal/boot/verity"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

const board = "amd64-usr"

// images makes the images of a version with some blocks of data.
func images(t *testing.T, version string, blocks int) Images {
	t.Helper()
	data := bytes.Repeat([]byte(version), blocks*verity.BlockSize/len(version)+1)[:blocks*verity.BlockSize]
	// The common data of versions cannot be compressed, so that a patch is smaller than a
	// payload.
	for block := range min(blocks, 40) {
		_, _ = rand.NewChaCha8([32]byte{byte(block)}).Read(data[block*verity.BlockSize+100:][:verity.BlockSize-100])
	}
	boot, usr := imagetest.Slot(t, version, data)
	dir := t.TempDir()
	i := Images{Boot: filepath.Join(dir, "boot.img"), Usr: filepath.Join(dir, "usr.img")}
	if err := errors.Join(os.WriteFile(i.Boot, boot, 0o644), os.WriteFile(i.Usr, usr, 0o644)); err != nil {
		t.Fatal(err)
	}
	return i
}

// keyring makes keys by name.
type keyring struct {
	t   *testing.T
	dir string
}

func (k keyring) private(name string) Key {
	k.t.Helper()
	path := filepath.Join(k.dir, name)
	if _, err := os.Stat(path); err != nil {
		if err := GenerateKey(path); err != nil {
			k.t.Fatal(err)
		}
	}
	key, err := ReadKey(path)
	if err != nil {
		k.t.Fatal(err)
	}
	return key
}

func (k keyring) public(names ...string) RoleKeys {
	k.t.Helper()
	keys := RoleKeys{Threshold: len(names)}
	for _, name := range names {
		k.private(name)
		key, err := ReadPublicKey(filepath.Join(k.dir, name+".pub"))
		if err != nil {
			k.t.Fatal(err)
		}
		keys.Keys = append(keys.Keys, key)
	}
	return keys
}

// fixture is a repository with one release in the channel stable.
type fixture struct {
	*Repository
	t    *testing.T
	keys keyring
	now  time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Open(t.TempDir()), t, keyring{t, t.TempDir()}, time.Now()}
	f.Repository.Now = func() time.Time { return f.now }
	f.must(f.StageRoot(map[string]RoleKeys{
		metadata.ROOT: f.keys.public("root1", "root2"), metadata.TARGETS: f.keys.public("targets"),
		metadata.SNAPSHOT: f.keys.public("online"), metadata.TIMESTAMP: f.keys.public("online"),
	}))
	f.sign(metadata.ROOT, "root1", "root2")
	f.add("1.0.0")
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) sign(role string, keys ...string) {
	f.t.Helper()
	for _, key := range keys {
		f.must(Sign(f.stagedPath(role), f.keys.private(key)))
	}
}

// add publishes a release.
func (f *fixture) add(version string) {
	f.t.Helper()
	_, err := f.AddRelease(context.Background(), board, "", images(f.t, version, 300), packing(Patches))
	f.must(err)
	f.must(f.SetChannel(board, "stable", version))
	f.sign(metadata.TARGETS, "targets")
	f.must(f.Publish(f.keys.private("online")))
}

// machine is a machine that trusts the present root of the repository.
type machine struct {
	root, state string
}

func (f *fixture) machine() machine {
	f.t.Helper()
	root, err := f.Root()
	f.must(err)
	return machine{string(root), f.t.TempDir()}
}

func (f *fixture) client(m machine, dir string) (*Client, error) {
	return NewClient(context.Background(), ClientConfig{Files: diskFiles(dir), Root: []byte(m.root), StateDir: m.state, Now: f.now})
}

func (f *fixture) version(m machine) (string, error) {
	client, err := f.client(m, f.dir)
	if err != nil {
		return "", err
	}
	return client.Channel(context.Background(), board, "stable")
}

func (f *fixture) wantVersion(m machine, want string) {
	f.t.Helper()
	if got, err := f.version(m); err != nil || got != want {
		f.t.Errorf("stable has %q, %v; want %q", got, err, want)
	}
}

// packing has no time to lose.
func packing(patches int) Packing { return Packing{Patches: patches, Effort: payload.Fast} }

func (f *fixture) publishedManifest(version string) (*release.Manifest, error) {
	client, err := f.client(f.machine(), f.dir)
	if err != nil {
		return nil, err
	}
	return client.Manifest(context.Background(), board, version)
}
