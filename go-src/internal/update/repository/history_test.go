package repository

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/update/repository/repositorytest"
)

// forge changes a published metadata file, and signs it with keys.
func (f *fixture) forge(name string, change func(repositorytest.Signed), keys ...string) {
	f.t.Helper()
	f.forgeFrom(name, name, change, keys...)
}

func (f *fixture) forgeFrom(from, to string, change func(repositorytest.Signed), keys ...string) {
	f.t.Helper()
	var signers []repositorytest.Signer
	for _, key := range keys {
		signers = append(signers, repositorytest.Signer(f.keys.private(key)))
	}
	repositorytest.Edit(f.t, f.metadataPath(from), f.metadataPath(to), change, signers...)
}

// copy returns a copy of the repository, as a mirror may have it.
func (f *fixture) copy() *fixture {
	f.t.Helper()
	dir := f.t.TempDir()
	f.must(os.CopyFS(dir, os.DirFS(f.dir)))
	c := &fixture{Open(dir), f.t, f.keys, f.now}
	c.Repository.Now = func() time.Time { return c.now }
	return c
}

// revoke exchanges the keys of targets and online roles for those called new.
func (f *fixture) revoke() {
	f.t.Helper()
	f.must(f.StageRoot(map[string]RoleKeys{
		metadata.TARGETS: f.keys.public("new-targets"), metadata.SNAPSHOT: f.keys.public("new-online"), metadata.TIMESTAMP: f.keys.public("new-online"),
	}))
	f.sign(metadata.ROOT, "root1", "root2")
	f.must(f.Renew())
	f.sign(metadata.TARGETS, "new-targets")
	f.must(f.Publish(f.keys.private("new-online")))
}

// A machine that has seen root metadata which revokes keys does not trust them again, when
// somebody hides that root metadata from it.
func TestRootIsNotRolledBack(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	stolen := f.copy()
	f.revoke()
	f.wantVersion(m, "1.0.0") // and with it root 2
	stolen.add("9.0.0")
	for range 2 {
		if version, err := stolen.version(m); !errors.Is(err, ErrWrongKey) {
			t.Errorf("by revoked keys: version %q, error %v", version, err)
		}
		if _, _, err := stolen.read(m, stolen.bundle("9.0.0")); !errors.Is(err, ErrWrongKey) {
			t.Errorf("a bundle by revoked keys: error %v", err)
		}
	}
	f.wantVersion(m, "1.0.0")
	// A machine that was never online before takes the root from a bundle.
	m = f.machine()
	m.root = string(must(os.ReadFile(f.metadataPath("1.root.json"))))
	_, _, err := f.read(m, f.bundle("1.0.0"))
	f.must(err)
	if version, err := stolen.version(m); !errors.Is(err, ErrWrongKey) {
		t.Errorf("after a bundle with root 2: version %q, error %v", version, err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The root that a newer system brought counts after a rollback to an older system.
func TestRootOfNewerSystemCounts(t *testing.T) {
	f := newFixture(t)
	older := f.machine()
	stolen := f.copy()
	f.revoke()
	newer := machine{f.machine().root, older.state}
	f.wantVersion(newer, "1.0.0")
	stolen.add("9.0.0")
	if version, err := stolen.version(older); !errors.Is(err, ErrWrongKey) {
		t.Errorf("after a rollback of the system: version %q, error %v", version, err)
	}
}

// The images of a machine may be exchanged for those of another builder, with other keys.
// What was seen of the first one's repository does not count then.
func TestRootOfAnotherBuilder(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.revoke()
	f.wantVersion(m, "1.0.0")
	other := newFixture(t)
	other.wantVersion(machine{other.machine().root, m.state}, "1.0.0")
	// The first one's images come back.
	f.wantVersion(m, "1.0.0")
}

// Machines keep a new root even if nothing else of the repository can be verified.
func TestRootIsKeptAtOnce(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	stolen := f.copy()
	f.revoke()
	f.must(os.Remove(f.metadataPath("timestamp.json")))
	if _, err := f.version(m); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	stolen.add("9.0.0")
	if version, err := stolen.version(m); !errors.Is(err, ErrWrongKey) {
		t.Errorf("version %q, error %v", version, err)
	}
}

// An older bundle with a withdrawn release is not taken after a newer one, nor from a
// repository in an older state.
func TestBundleCountsAsSeen(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.add("1.1.0")
	withdrawn, before := f.bundle("1.1.0"), f.copy()
	f.add("1.2.0")
	f.must(f.RemoveRelease(board, "1.1.0"))
	f.sign(metadata.TARGETS, "targets")
	f.must(f.Publish(f.keys.private("online")))
	_, _, err := f.read(m, f.bundle("1.2.0"))
	f.must(err)
	if _, _, err := f.read(m, withdrawn); !errors.Is(err, ErrOlder) {
		t.Errorf("a withdrawn release: error %v", err)
	}
	if version, err := before.version(m); !errors.Is(err, ErrOlder) {
		t.Errorf("a repository of before the bundle: version %q, error %v", version, err)
	}
	f.wantVersion(m, "1.2.0")
}

// Whoever has stolen the online key cannot make machines refuse all later states, and the
// exchange of the key is the way back from what they can do.
func TestFastForward(t *testing.T) {
	jump := func(version int64) func(*fixture) {
		return func(f *fixture) { f.forge("timestamp.json", repositorytest.Set(version, "version"), "online") }
	}
	for name, test := range map[string]struct {
		forge func(*fixture)
		want  error
	}{
		"timestamp at the end of numbers": {jump(math.MaxInt64), ErrAhead},
		"timestamp beyond the bound":      {jump(maxFirst + 1), ErrAhead},
		"snapshot at the end of numbers": {func(f *fixture) {
			f.forgeFrom("2.snapshot.json", fmt.Sprintf("%d.snapshot.json", math.MaxInt64), repositorytest.Set(math.MaxInt64, "version"), "online")
			f.forge("timestamp.json", func(s repositorytest.Signed) {
				s["version"] = 3
				repositorytest.Set(math.MaxInt64, "meta", "snapshot.json", "version")(s)
			}, "online")
		}, ErrAhead},
		"targets at the end of numbers": {func(f *fixture) {
			f.forgeFrom("2.targets.json", fmt.Sprintf("%d.targets.json", math.MaxInt64), repositorytest.Set(math.MaxInt64, "version"), "targets")
			f.forgeFrom("2.snapshot.json", "3.snapshot.json", func(s repositorytest.Signed) {
				s["version"] = 3
				repositorytest.Set(math.MaxInt64, "meta", "targets.json", "version")(s)
			}, "online")
			f.forge("timestamp.json", func(s repositorytest.Signed) {
				s["version"] = 3
				repositorytest.Set(3, "meta", "snapshot.json", "version")(s)
			}, "online")
		}, ErrAhead},
		"as far as a thief can": {jump(maxJump), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.add("1.1.0")
			m := f.machine()
			f.wantVersion(m, "1.1.0")
			thief := f.copy()
			test.forge(thief)
			for _, m := range []machine{m, f.machine()} {
				if _, err := thief.version(m); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
			}
			if test.want != nil {
				f.add("1.2.0")
				f.wantVersion(m, "1.2.0")
			}
			// The recovery.
			f.revoke()
			f.wantVersion(m, must(f.version(f.machine())))
		})
	}
}

// A system of before took the highest number that there is. What it has seen does not keep the
// machine from updates.
func TestSeenFarAhead(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.wantVersion(m, "1.0.0")
	for _, name := range []string{"timestamp.json", "1.snapshot.json", "1.targets.json"} {
		thief := f.copy()
		key := "online"
		if name == "1.targets.json" {
			key = "targets"
		}
		thief.forge(name, repositorytest.Set(int64(math.MaxInt64), "version"), key)
		f.must(os.WriteFile(filepath.Join(m.state, strings.TrimPrefix(name, "1.")), must(os.ReadFile(thief.metadataPath(name))), 0o600))
	}
	f.add("1.1.0")
	f.wantVersion(m, "1.1.0")
}

// The bound counts from what was seen, so that nobody gets far in one step.
func TestJump(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.wantVersion(m, "1.0.0")
	thief := f.copy()
	thief.forge("timestamp.json", repositorytest.Set(maxJump+2, "version"), "online")
	if _, err := thief.version(m); !errors.Is(err, ErrAhead) {
		t.Errorf("error %v", err)
	}
	f.add("1.1.0")
	f.wantVersion(m, "1.1.0")
}

// A clock that is behind makes nothing of the past valid again.
func TestClockBehind(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	old := f.copy()
	old.now = time.Unix(0, 0)
	f.now = f.now.Add(20 * 24 * time.Hour)
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.0.0") // the machine knows now that it is this late
	f.must(os.Remove(filepath.Join(m.state, "timestamp.json")))
	if version, err := old.version(m); !errors.Is(err, ErrExpired) {
		t.Errorf("in 1970: version %q, error %v", version, err)
	}
	// A new machine has other proof, such as the time of its build.
	config := ClientConfig{Files: diskFiles(old.dir), Root: []byte(m.root), StateDir: t.TempDir(), Now: old.now, NotBefore: f.now}
	if _, err := NewClient(t.Context(), config); !errors.Is(err, ErrExpired) {
		t.Errorf("a new machine in 1970: error %v", err)
	}
	// Good metadata is taken, although the clock is wrong.
	f.now = old.now
	f.wantVersion(m, "1.0.0")
}

// A timestamp that has expired stays so, although nothing newer was verified before the clock
// lost its time.
func TestExpiredStaysExpired(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.wantVersion(m, "1.0.0")
	now := f.now
	for _, f.now = range []time.Time{now.Add(15 * 24 * time.Hour), now, time.Unix(0, 0)} {
		if version, err := f.version(m); !errors.Is(err, ErrExpired) {
			t.Errorf("at %s: version %q, error %v", f.now, version, err)
		}
	}
	f.now = now.Add(time.Hour)
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.0.0")
}

// Time that passes while nothing can be verified counts when the clock loses it.
func TestTimePasses(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	now := f.now
	f.must(Observe(m.state, now)) // nothing was verified
	f.wantVersion(m, "1.0.0")
	f.must(Observe(m.state, now.Add(20*24*time.Hour))) // the machine stops
	f.now = time.Unix(0, 0)
	if version, err := f.version(m); !errors.Is(err, ErrExpired) {
		t.Errorf("version %q, error %v", version, err)
	}
	// The machine stops once in 2040. A later state is valid all the same.
	f.must(Observe(m.state, now.AddDate(14, 0, 0)))
	f.now = now.Add(24 * time.Hour)
	f.must(f.Publish(f.keys.private("online")))
	f.wantVersion(m, "1.0.0")
}

// The time of a clock that is far ahead is never kept: all metadata has expired by then.
func TestClockAhead(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	now := f.now
	f.now = now.AddDate(14, 0, 0)
	if version, err := f.version(m); !errors.Is(err, ErrExpired) {
		t.Errorf("in 2040: version %q, error %v", version, err)
	}
	f.now = now
	f.wantVersion(m, "1.0.0")
}

// A bundle needs no signature of the online key: whoever brings it stands for its state. The
// exchange of a stolen targets key ends that.
func TestBundleByTargetsKeyAlone(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	f.wantVersion(m, "1.0.0")
	thief := f.copy()
	thief.forgeFrom("1.targets.json", "2.targets.json", repositorytest.Set(2, "version"), "targets")
	bundle := thief.bundle("1.0.0")
	if _, _, err := thief.read(m, bundle); err != nil {
		t.Errorf("error %v", err)
	}
	f.must(f.Renew())
	f.sign(metadata.TARGETS, "targets")
	f.must(f.Publish(f.keys.private("online")))
	f.revoke()
	f.wantVersion(m, "1.0.0")
	if _, _, err := thief.read(m, bundle); !errors.Is(err, ErrWrongKey) {
		t.Errorf("after the exchange: error %v", err)
	}
}
