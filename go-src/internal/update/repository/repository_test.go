package repository

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

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

	// No timestamp was signed for a long time: somebody may serve an old state of the
	// repository.
	f.now = f.now.Add(lifetimes[metadata.TIMESTAMP] + time.Hour)
	_, err = f.client(f.machine(), f.dir)
	wantError("a frozen repository", err, ErrExpired)
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.1.0")
}
