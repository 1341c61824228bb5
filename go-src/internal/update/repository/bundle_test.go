package repository

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/update/release"
)

func (f *fixture) bundle(version string) []byte {
	f.t.Helper()
	var b bytes.Buffer
	f.must(f.WriteBundle(context.Background(), &b, board, version, BundleFormat))
	return b.Bytes()
}

// read gives a bundle to a machine.
func (f *fixture) read(m machine, text []byte) (*release.Manifest, *Bundle, error) {
	b, err := OpenBundle(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, nil, err
	}
	client, err := NewBundleClient(context.Background(), ClientConfig{Files: b, Root: []byte(m.root), StateDir: m.state, Now: f.now})
	if err != nil {
		return nil, b, err
	}
	manifest, err := client.Manifest(context.Background(), b.Board, b.Version)
	return manifest, b, err
}

func TestBundle(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.add("1.1.0")
	text := f.bundle("1.1.0")
	if !bytes.Equal(text, f.bundle("1.1.0")) {
		t.Error("two bundles of one release differ")
	}
	// Long after the timestamp has expired.
	f.now = f.now.Add(100 * 24 * time.Hour)
	manifest, b, err := f.read(m, text)
	f.must(err)
	if b.Version != "1.1.0" || b.Board != board || manifest.Version != "1.1.0" {
		t.Errorf("version %s for %s: %+v", b.Version, b.Board, manifest)
	}
	for _, name := range []string{"boot.zst", "usr.whole.zst"} {
		want, err := os.ReadFile(filepath.Join(f.dir, board, "1.1.0", name))
		f.must(err)
		file, err := b.Open(context.Background(), name)
		f.must(err)
		if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		part := make([]byte, 10)
		if err := b.ReadRange(context.Background(), name, 7, part); err != nil || !bytes.Equal(part, want[7:17]) {
			t.Errorf("%s: a part: %v", name, err)
		}
		if err := b.ReadRange(context.Background(), name, int64(len(want)-5), part); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: behind its end: %v", name, err)
		}
	}
	for _, name := range []string{"boot.verity", "usr.verity"} {
		if _, err := b.Open(context.Background(), name); !errors.Is(err, release.ErrLeftOut) {
			t.Errorf("%s: error %v", name, err)
		}
		if err := b.ReadRange(context.Background(), name, 0, make([]byte, 1)); !errors.Is(err, release.ErrLeftOut) {
			t.Errorf("%s: a part: error %v", name, err)
		}
	}
	if _, err := b.Open(context.Background(), "usr.zst"); errors.Is(err, release.ErrLeftOut) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the payload, which cannot be computed: error %v", err)
	}
}

// firstReader reads the names in a bundle by the rules of the first format's readers, which
// machines still have.
func firstReader(text []byte) (names []string, err error) {
	archive := tar.NewReader(bytes.NewReader(text))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%w: member %.80q", ErrBundle, header.Name)
		}
		names = append(names, path.Base(header.Name))
	}
}

// Machines of before the whole stream refuse a bundle with it at once, saying what to do,
// and read one that is made for them.
func TestBundleForOlderMachines(t *testing.T) {
	f := newFixture(t)
	if names, err := firstReader(f.bundle("1.0.0")); !errors.Is(err, ErrBundle) || !strings.HasSuffix(err.Error(), `bundle --format 1 makes one for this"`) {
		t.Errorf("the newest format: %q, %v", names, err)
	}
	var b bytes.Buffer
	f.must(f.WriteBundle(context.Background(), &b, board, "1.0.0", PayloadBundle))
	names, err := firstReader(b.Bytes())
	f.must(err)
	for _, name := range []string{"boot.verity", "boot.zst", "usr.verity", "usr.zst"} {
		if !slices.Contains(names, name) {
			t.Errorf("the first format has %q, without %s", names, name)
		}
	}
	if slices.Contains(names, "usr.whole.zst") {
		t.Errorf("the first format has %q", names)
	}
	_, first, err := f.read(f.machine(), b.Bytes())
	f.must(err)
	tree, err := os.ReadFile(filepath.Join(f.dir, board, "1.0.0", "usr.verity"))
	f.must(err)
	file, err := first.Open(context.Background(), "usr.verity")
	f.must(err)
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, tree) {
		t.Errorf("its hash tree: %d bytes, %v", len(got), err)
	}
	// In this format a hash tree that is not there is lost.
	delete(first.members, path.Join(board, "1.0.0", "usr.verity"))
	if _, err := first.Open(context.Background(), "usr.verity"); errors.Is(err, release.ErrLeftOut) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a lost hash tree: error %v", err)
	}
	if err := f.WriteBundle(context.Background(), &b, board, "1.0.0", 3); err == nil {
		t.Error("a bundle of a format that there is not was written")
	}
}

func TestBundleLeadsThroughRotations(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.must(f.StageRoot(map[string]RoleKeys{metadata.ROOT: f.keys.public("root3"), metadata.TARGETS: f.keys.public("new")}))
	f.sign(metadata.ROOT, "root1", "root2", "root3")
	f.must(f.Renew())
	f.sign(metadata.TARGETS, "new")
	f.must(f.Publish(f.keys.private("online")))
	_, _, err := f.read(m, f.bundle("1.0.0"))
	f.must(err)
}

func TestBundleRefused(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	old := f.bundle("1.0.0")
	f.add("1.1.0")
	f.wantVersion(m, "1.1.0")
	good := f.bundle("1.1.0")
	stranger := newFixture(t)
	changed := bytes.Clone(good)
	changed[bytes.Index(changed, []byte(`"root_hash"`))+20] ^= 1
	later := &fixture{f.Repository, t, f.keys, f.now.Add(2 * lifetimes[metadata.TARGETS])}
	for name, test := range map[string]struct {
		fixture *fixture
		text    []byte
		want    error
	}{
		"nothing":            {f, nil, ErrBundle},
		"no archive":         {f, bytes.Repeat([]byte("<html>"), 999), ErrBundle},
		"cut in a file":      {f, good[:len(good)*2/3], ErrBundle},
		"only metadata":      {f, good[:512], ErrBundle},
		"a stranger's":       {f, stranger.bundle("1.0.0"), ErrWrongKey},
		"a changed manifest": {f, changed, ErrMixed},
		"an older state":     {f, old, ErrOlder},
		"expired":            {later, good, ErrExpired},
		"a later format":     {f, archive(t, formatHeader(BundleFormat+1)), ErrBundle},
		"a link":             {f, archive(t, &tar.Header{Name: "amd64-usr/1.0.0/x.manifest.json", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), ErrBundle},
		"no metadata at all": {f, archive(t, &tar.Header{Name: "amd64-usr/1.0.0/x.manifest.json", Typeflag: tar.TypeReg}), os.ErrNotExist},
	} {
		if _, _, err := test.fixture.read(m, test.text); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	if _, _, err := f.read(m, good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func archive(t *testing.T, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, header := range headers {
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVerify(t *testing.T) {
	f := newFixture(t)
	root, err := f.Root()
	f.must(err)
	f.add("1.1.0")
	verify := func() ([]string, error) { return f.Verify(context.Background(), root, f.now) }
	unused, err := verify()
	if err != nil || len(unused) > 0 {
		t.Fatalf("%v, unused %v", err, unused)
	}
	state, err := f.Describe()
	f.must(err)
	if len(state.Releases) != 2 || len(state.Channels) != 1 || state.Channels[0] != (ChannelState{board, "stable", "1.1.0"}) || len(state.Roles) != 4 {
		t.Errorf("%+v", state)
	}
	if m, err := f.Manifest(context.Background(), board, "1.1.0"); err != nil || m.Version != "1.1.0" {
		t.Errorf("manifest of 1.1.0: %+v, %v", m, err)
	}
	if _, err := f.Manifest(context.Background(), board, "1.9.0"); err == nil || !strings.Contains(err.Error(), "not in the repository") {
		t.Errorf("manifest of a version that is not there: %v", err)
	}
	if err := f.RemoveRelease(board, "1.1.0"); err == nil || !strings.Contains(err.Error(), "channel stable") {
		t.Errorf("the channel's version was removed: %v", err)
	}
	f.must(f.RemoveRelease(board, "1.0.0"))
	f.sign(metadata.TARGETS, "targets")
	f.must(f.Publish(f.keys.private("online")))
	if unused, err = verify(); err != nil || len(unused) != 5 {
		t.Errorf("%v, unused %v", err, unused)
	}
	payload := filepath.Join(f.dir, board, "1.1.0", release.PayloadFile(release.Boot))
	text, err := os.ReadFile(payload)
	f.must(err)
	text[20] ^= 1
	f.must(os.WriteFile(payload, text, 0o644))
	if _, err := verify(); !errors.Is(err, ErrMixed) {
		t.Errorf("a changed payload: %v", err)
	}
	f.now = f.now.Add(lifetimes[metadata.TIMESTAMP] + time.Hour)
	if _, err := verify(); !errors.Is(err, ErrExpired) {
		t.Errorf("an expired repository: %v", err)
	}
}

func FuzzOpenBundle(f *testing.F) {
	fixture := &testing.T{}
	f.Add(archive(fixture, &tar.Header{Name: "amd64-usr/1.0.0/x.manifest.json", Typeflag: tar.TypeReg}))
	f.Add(archive(fixture, formatHeader(BundleFormat), &tar.Header{Name: "amd64-usr/1.0.0/x.manifest.json", Typeflag: tar.TypeReg}))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := OpenBundle(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		for name, m := range b.members {
			if m.offset < 0 || m.size < 0 || m.offset+m.size > int64(len(text)) {
				t.Errorf("member %q lies at %d, %d bytes, of %d", name, m.offset, m.size, len(text))
			}
		}
	})
}
