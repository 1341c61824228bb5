package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/verity"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

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
