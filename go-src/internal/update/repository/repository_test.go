package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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
	// What versions have in common cannot be compressed, so that a patch is worth having.
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

// machine is one that was given the root of the repository as it is now.
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

func TestReleaseIsWhatTheImagesAre(t *testing.T) {
	f := newFixture(t)
	i := images(t, "1.1.0", 20000)
	i.Notes = filepath.Join(t.TempDir(), "1.1.0.md")
	f.must(os.WriteFile(i.Notes, []byte("- a new kernel\n"), 0o644))
	// Without patches, which TestPatches is about: so many blocks have many segments.
	added, err := f.AddRelease(context.Background(), board, "1.0.0", i, packing(0))
	f.must(err)
	f.sign(metadata.TARGETS, "targets")
	f.must(f.Publish(f.keys.private("online")))
	client, err := f.client(f.machine(), f.dir)
	f.must(err)
	m, err := client.Manifest(context.Background(), board, "1.1.0")
	f.must(err)
	if !reflect.DeepEqual(m, added) || m.MinimumVersion != "1.0.0" || m.Notes != "- a new kernel\n" || m.Usr.Blocks != 20000 {
		t.Errorf("manifest %+v", m)
	}
	dir := filepath.Join(f.dir, release.Directory(board, "1.1.0"))
	boot, err := os.ReadFile(i.Boot)
	f.must(err)
	usr, err := os.ReadFile(i.Usr)
	f.must(err)
	for name, want := range map[string]struct {
		content release.Content
		image   []byte
	}{release.Boot: {m.Boot, boot}, release.Usr: {m.Usr, usr}} {
		for name, file := range want.content.Files(name) {
			text, err := os.ReadFile(filepath.Join(dir, name))
			f.must(err)
			if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != file.SHA256 || int64(len(text)) != file.Size {
				t.Errorf("%s is not what the manifest says", name)
			}
		}
		packed, err := os.ReadFile(filepath.Join(dir, release.PayloadFile(name)))
		f.must(err)
		f.must(payload.Stream(bytes.NewReader(packed), want.content.Blocks, func(block uint64, data []byte) error {
			at := want.image[min(block*verity.BlockSize, uint64(len(want.image))):]
			if part := at[:min(len(at), verity.BlockSize)]; !bytes.HasPrefix(data, part) {
				t.Errorf("block %d of %s is not the image's", block, name)
			}
			return nil
		}))
	}
	tree, err := os.ReadFile(filepath.Join(dir, release.TreeFile(release.Usr)))
	f.must(err)
	if !bytes.HasSuffix(usr, tree) {
		t.Error("the tree is not the end of the image")
	}
}

// packing has no time to lose.
func packing(patches int) Packing { return Packing{Patches: patches, Effort: payload.Fast} }

// A release has patches from the newest of the older published versions.
func TestPatches(t *testing.T) {
	f := newFixture(t)
	for _, version := range []string{"1.3.0", "1.1.0", "1.2.0", "2.0.0"} {
		f.add(version)
	}
	gone := filepath.Join(f.dir, release.Directory(board, "1.2.0"), release.PayloadFile(release.Usr))
	f.must(os.Truncate(gone, 100))
	m, err := f.AddRelease(context.Background(), board, "", images(t, "1.4.0", 300), packing(3))
	f.must(err)
	var from []string
	for _, p := range m.Usr.Patches {
		for _, version := range []string{"1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0"} {
			older, err := f.publishedManifest(version)
			f.must(err)
			if older.Usr.RootHash == p.From {
				from = append(from, version)
			}
		}
	}
	if want := []string{"1.3.0", "1.1.0"}; !slices.Equal(from, want) {
		t.Errorf("patches from %q, want %q (1.2.0 is damaged, 1.0.0 the fourth)", from, want)
	}
}

func (f *fixture) publishedManifest(version string) (*release.Manifest, error) {
	client, err := f.client(f.machine(), f.dir)
	if err != nil {
		return nil, err
	}
	return client.Manifest(context.Background(), board, version)
}

func TestChannelFollows(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.wantVersion(m, "1.0.0")
	f.add("1.1.0")
	f.wantVersion(m, "1.1.0")
	f.must(f.SetChannel(board, "stable", "1.0.0"))
	f.wantVersion(m, "1.1.0") // staged is not published
	f.sign(metadata.TARGETS, "targets")
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.0.0")
}

func TestAddReleaseRefuses(t *testing.T) {
	f := newFixture(t)
	good := images(t, "2.0.0", 100)
	other := images(t, "2.0.0", 101)
	cut := filepath.Join(t.TempDir(), "usr.img")
	text, err := os.ReadFile(good.Usr)
	f.must(err)
	f.must(os.WriteFile(cut, text[:len(text)-verity.BlockSize], 0o644))
	changed := func(at int) string {
		bad := bytes.Clone(text)
		bad[at] ^= 1
		path := filepath.Join(t.TempDir(), "usr.img")
		f.must(os.WriteFile(path, bad, 0o644))
		return path
	}
	published := filepath.Join(f.dir, release.Directory(board, "1.0.0"), release.PayloadFile(release.Usr))
	before, err := os.ReadFile(published)
	f.must(err)
	for name, test := range map[string]struct {
		images Images
		want   string
	}{
		"another /usr":        {Images{Boot: good.Boot, Usr: other.Usr}, "belongs to one with"},
		"a cut /usr":          {Images{Boot: good.Boot, Usr: cut}, "belongs to one with"},
		"changed data":        {Images{Boot: good.Boot, Usr: changed(0)}, "do not match its hash tree"},
		"changed superblock":  {Images{Boot: good.Boot, Usr: changed(100 * verity.BlockSize)}, "superblock"},
		"changed tree":        {Images{Boot: good.Boot, Usr: changed(101 * verity.BlockSize)}, "does not match"},
		"no boot image":       {Images{Boot: good.Usr, Usr: good.Usr}, "boot image"},
		"missing notes":       {Images{Boot: good.Boot, Usr: good.Usr, Notes: cut + ".md"}, "release notes"},
		"notes too long":      {Images{Boot: good.Boot, Usr: good.Usr, Notes: good.Usr}, "release notes"},
		"a version no one is": {images(t, "latest", 10), "is not valid: want one such as"},
		"the same again":      {images(t, "1.0.0", 299), "other content"},
	} {
		if _, err := f.AddRelease(context.Background(), board, "", test.images, packing(Patches)); err == nil {
			t.Errorf("%s was added", name)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
	if _, err := f.AddRelease(context.Background(), "../x", "", good, packing(Patches)); !errors.Is(err, ErrName) {
		t.Errorf("a board that is a path: error %v", err)
	}
	if err := f.SetChannel(board, "../../x", "1.0.0"); !errors.Is(err, ErrName) {
		t.Errorf("a channel that is a path: error %v", err)
	}
	if after, err := os.ReadFile(published); err != nil || !bytes.Equal(after, before) {
		t.Errorf("a release that was refused changed a published one's files: %v", err)
	}
}

func TestThresholdAndRotation(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	// The targets key goes; two new ones must both sign.
	f.must(f.StageRoot(map[string]RoleKeys{metadata.TARGETS: f.keys.public("new1", "new2")}))
	f.sign(metadata.ROOT, "root1")
	if err := f.Publish(f.keys.private("online")); err == nil {
		t.Fatal("root metadata with one signature of two was published")
	}
	f.sign(metadata.ROOT, "root2")
	f.must(f.Renew())
	f.sign(metadata.TARGETS, "new1")
	if err := f.Publish(f.keys.private("online")); err == nil {
		t.Fatal("targets metadata with one signature of two was published")
	}
	f.sign(metadata.TARGETS, "new1", "new2")
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.0.0")
	f.wantVersion(f.machine(), "1.0.0")
	// The old key counts no more.
	f.must(f.Renew())
	f.sign(metadata.TARGETS, "targets", "new1")
	if err := f.Publish(f.keys.private("online")); err == nil {
		t.Error("a key that was rotated away still signs")
	}
	// Root keys rotate by the old ones' leave.
	f.must(os.Remove(f.stagedPath(metadata.TARGETS)))
	f.must(f.StageRoot(map[string]RoleKeys{metadata.ROOT: f.keys.public("root3")}))
	f.sign(metadata.ROOT, "root3")
	if err := f.Publish(f.keys.private("online")); err == nil {
		t.Fatal("new root keys appointed themselves")
	}
	f.sign(metadata.ROOT, "root1", "root2")
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.0.0")
}

func TestMachineRefuses(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.wantVersion(m, "1.0.0")
	old := filepath.Join(t.TempDir(), "old")
	f.must(os.CopyFS(old, os.DirFS(f.dir)))
	f.add("1.1.0")
	f.wantVersion(m, "1.1.0")

	wantError := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	_, err := f.client(m, old)
	wantError("an older state of the repository", err, ErrOlder)

	stranger := newFixture(t)
	_, err = stranger.client(machine{m.root, t.TempDir()}, stranger.dir)
	wantError("a repository with other keys", err, ErrWrongKey)

	client, err := f.client(m, f.dir)
	f.must(err)
	if _, err := client.Manifest(context.Background(), board, "9.9.9"); err == nil {
		t.Error("a version that is not there has a manifest")
	}
	if _, err := client.Manifest(context.Background(), board, "../../../etc"); err == nil {
		t.Error("a path has a manifest")
	}

	// One byte of the manifest changed.
	changed, err := filepath.Glob(filepath.Join(f.dir, board, "1.1.0", "*.manifest.json"))
	f.must(err)
	text, err := os.ReadFile(changed[0])
	f.must(err)
	text[len(text)/2] ^= 1
	f.must(os.WriteFile(changed[0], text, 0o644))
	_, err = client.Manifest(context.Background(), board, "1.1.0")
	wantError("a changed manifest", err, ErrMixed)

	// Nobody signed a timestamp for long: the repository may be frozen by someone.
	f.now = f.now.Add(lifetimes[metadata.TIMESTAMP] + time.Hour)
	_, err = f.client(f.machine(), f.dir)
	wantError("a frozen repository", err, ErrExpired)
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.1.0")
}

// What a power cut left of the metadata that was seen keeps no machine from its updates.
func TestDamagedState(t *testing.T) {
	f := newFixture(t)
	for _, role := range Roles {
		for _, text := range []string{"", "{", "null", `{"signed": {}}`} {
			m := f.machine()
			f.wantVersion(m, "1.0.0")
			path := filepath.Join(m.state, role+".json")
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			f.must(os.WriteFile(path, []byte(text), 0o600))
			f.wantVersion(m, "1.0.0")
		}
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := GenerateKey(path); err != nil {
		t.Fatal(err)
	}
	if err := GenerateKey(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
	if _, err := ReadKey(path + ".pub"); err == nil {
		t.Error("a public key was read as a private one")
	}
	if _, err := ReadPublicKey(path); err == nil {
		t.Error("a private key was read as a public one")
	}
}
