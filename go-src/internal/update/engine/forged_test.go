package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/slot"
	"coreos/internal/update/download"
	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/repository/repositorytest"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

// maxAllocated bounds all memory that an attempt allocates, and with it what it holds at once.
const maxAllocated = 64 << 20

// TestForgedRepositories gives a machine each class of attack that the specification of The
// Update Framework names (section 1.5.2), and malformed answers. The machine has seen version
// 1.1.0 of the repository, and is offered 1.2.0. Each kind of attack has an error of
// its own.
func TestForgedRepositories(t *testing.T) {
	all, before := seenOneOfTwo(t)
	errs := map[string]string{}
	for _, test := range forgeries {
		t.Run(test.name, func(t *testing.T) {
			w := all.fork(t)
			w.config.Repository = w.http.URL + "/repo/"
			test.forge(forger{w, before})
			err := w.refuses(w.machine(), test.want, func(d *Daemon) error {
				_, err := d.Attempt(context.Background(), true)
				return err
			})
			other, known := errs[err]
			if known != (test.like != "") || known && other != test.like {
				t.Errorf("the error of %q is said to be that of %q: %s", other, test.like, err)
			}
			if !known {
				errs[err] = test.name
			}
		})
	}
}

// seenOneOfTwo returns a world whose machine has seen 1.1.0, while 1.2.0 is published now, and a
// copy of the repository from before that.
func seenOneOfTwo(t *testing.T) (all *world, before string) {
	t.Helper()
	all = newWorld(t)
	all.patches = 0
	all.publish("1.1.0", "")
	all.config.Server, all.config.Repository = "", all.http.URL+"/repo/"
	_, _, err := all.machine().server.(Channel).repository(context.Background(), all.config.Repository)
	all.must(err)
	before = filepath.Join(t.TempDir(), "before")
	all.must(os.CopyFS(before, os.DirFS(all.repo)))
	all.publish("1.2.0", "")
	return all, before
}

// refuses checks that an installation ends with an error, without much memory, and that the
// machine is as it was. It returns the error without what differs in each world.
func (w *world) refuses(d *Daemon, want error, install func(*Daemon) error) string {
	w.t.Helper()
	running := w.runningSlot()
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	began := time.Now()
	err := install(d)
	runtime.ReadMemStats(&end)
	if err == nil || !errors.Is(err, want) {
		w.t.Fatalf("error %v, want %v", err, want)
	}
	w.t.Log(err)
	if took := time.Since(began); took > time.Minute {
		w.t.Errorf("it took %v", took)
	}
	if allocated := end.TotalAlloc - start.TotalAlloc; allocated > maxAllocated {
		w.t.Errorf("it allocated %d bytes", allocated)
	}
	w.wantOperation(d, status.Idle, "")
	if got := w.runningSlot(); got != running {
		w.t.Error("the running slot has changed")
	}
	if reports, err := w.Slots(); err != nil || !reports[0].Next || !reports[0].OK || reports[1].Tries != 0 || w.running != slot.A {
		w.t.Errorf("slot A alone should be bootable: %+v, %v", reports, err)
	}
	return strings.NewReplacer(w.dir, "", w.http.URL, "").Replace(err.Error())
}

// runningSlot returns a hash of the running slot.
func (w *world) runningSlot() string {
	hash := sha256.New()
	for _, label := range []string{"BOOT-A", "USR-A"} {
		file, err := os.Open(filepath.Join(w.dir, label))
		w.must(err)
		_, err = io.Copy(hash, file)
		w.must(errors.Join(err, file.Close()))
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// forger forges the repository of a world, which has published three versions: the numbers of
// all its metadata but the root's are 3. before is a copy from the time of the second.
type forger struct {
	*world
	before string
}

// forge changes a metadata file and signs it with keys.
func (f forger) forge(name string, change func(repositorytest.Signed), keys ...string) {
	f.forgeTo(name, name, change, keys...)
}

func (f forger) forgeTo(from, to string, change func(repositorytest.Signed), keys ...string) {
	var signers []repositorytest.Signer
	for _, key := range keys {
		signers = append(signers, repositorytest.Signer(f.key(key)))
	}
	path := func(name string) string { return filepath.Join(f.repo, "metadata", name) }
	repositorytest.Edit(f.t, path(from), path(to), change, signers...)
}

// online forges a snapshot with a number that names targets with another, and a timestamp for
// it, as a thief of the online key can.
func (f forger) online(snapshot, targets int64) {
	f.forgeTo("3.snapshot.json", fmt.Sprintf("%d.snapshot.json", snapshot), func(s repositorytest.Signed) {
		s["version"] = snapshot
		repositorytest.Set(targets, "meta", "targets.json", "version")(s)
	}, "online")
	f.forge("timestamp.json", func(s repositorytest.Signed) {
		s["version"] = 4
		repositorytest.Set(snapshot, "meta", "snapshot.json", "version")(s)
	}, "online")
}

// targets forges the current targets.
func (f forger) targets(change func(repositorytest.Signed)) {
	f.forge("3.targets.json", change, "targets")
}

// write replaces a file.
func (f forger) write(name, text string) {
	f.must(os.WriteFile(filepath.Join(f.repo, name), []byte(text), 0o644))
}

// old puts a file back as it was before the last release.
func (f forger) old(from, to string) {
	text, err := os.ReadFile(filepath.Join(f.before, from))
	f.must(err)
	f.write(to, string(text))
}

// target changes the entry of the manifest of 1.2.0.
func (f forger) target(change func(map[string]any)) {
	f.targets(func(s repositorytest.Signed) {
		change(s["targets"].(map[string]any)[repository.ManifestTarget(board, "1.2.0")].(map[string]any))
	})
}

// manifest replaces the manifest of 1.2.0 by one that the targets key has signed.
func (f forger) manifest(text string) {
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	f.write(filepath.Join(board, "1.2.0", hash+".manifest.json"), text)
	f.target(func(target map[string]any) {
		target["length"], target["hashes"] = len(text), map[string]any{"sha256": hash}
	})
}

// channel replaces the channel by one that the targets key has signed.
func (f forger) channel(text string) {
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	f.write(filepath.Join("channels", board, hash+".stable.json"), text)
	f.targets(repositorytest.Set(map[string]any{"length": len(text), "hashes": map[string]any{"sha256": hash}}, "targets", repository.ChannelTarget(board, "stable")))
}

// redirect sends the machine elsewhere for a file.
func (f forger) redirect(word, to string) {
	f.answers(word, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
}

var past = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)

// bombFrame is a zstd frame of few bytes with 256 MiB of zeros.
var bombFrame = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(16<<10), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	zeros := make([]byte, 1<<20)
	for range 256 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	return b.Bytes()
})

// overlay writes bytes over a file of 1.2.0, so that its size stays.
func (f forger) overlay(name string, at int, text []byte) {
	path := filepath.Join(f.repo, board, "1.2.0", name)
	all, err := os.ReadFile(path)
	f.must(err)
	copy(all[at:], text)
	f.must(os.WriteFile(path, all, 0o644))
}

var forgeries = []struct {
	name  string
	forge func(forger)
	want  error
	like  string // the forgery that has the same error, if there is one
}{
	// Arbitrary software: metadata by the wrong keys, or by too few.
	{"timestamp by a stranger", func(f forger) { f.forge("timestamp.json", repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"snapshot by a stranger", func(f forger) { f.forge("3.snapshot.json", repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"targets by a stranger", func(f forger) { f.forge("3.targets.json", repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"root by a stranger", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", repositorytest.Set(2, "version"), "stranger")
	}, repository.ErrWrongKey, ""},
	{"root by half of its keys", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", repositorytest.Set(2, "version"), "root1")
	}, repository.ErrWrongKey, ""},
	{"root signed twice by one key", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", repositorytest.Set(2, "version"), "root1", "root1")
	}, repository.ErrWrongKey, ""},
	{"targets signed twice by a stranger", func(f forger) { f.forge("3.targets.json", repositorytest.Keep, "stranger", "stranger") }, repository.ErrWrongKey, ""},
	{"root that lowers its own threshold", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
			s["version"] = 2
			repositorytest.Set(1, "roles", "root", "threshold")(s)
			repositorytest.Set([]any{f.key("stranger").ID}, "roles", "targets", "keyids")(s)
		}, "stranger", "root2")
	}, repository.ErrWrongKey, "root by half of its keys"},
	{"root with a threshold that nobody reaches", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
			s["version"] = 2
			repositorytest.Set(3, "roles", "root", "threshold")(s)
		}, "root1", "root2")
	}, repository.ErrWrongKey, ""},
	{"root with a threshold of none", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
			s["version"] = 2
			repositorytest.Set(0, "roles", "timestamp", "threshold")(s)
		}, "root1", "root2")
	}, repository.ErrMalformed, ""},
	{"root without a role", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
			s["version"] = 2
			delete(s["roles"].(map[string]any), "snapshot")
		}, "root1", "root2")
	}, repository.ErrMalformed, ""},
	{"root with a null key", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
			s["version"] = 2
			repositorytest.Set(nil, "keys", "0")(s)
		}, "root1", "root2")
	}, repository.ErrMalformed, ""},
	{"timestamp by the targets key", func(f forger) {
		f.forge("timestamp.json", repositorytest.Set(9, "version"), "targets")
		f.must(os.Remove(filepath.Join(f.repo, "metadata/3.snapshot.json")))
	}, repository.ErrWrongKey, "timestamp by a stranger"},
	{"timestamp without signatures", func(f forger) {
		f.write("metadata/timestamp.json", `{"signatures": [], "signed": {"_type": "timestamp", "spec_version": "1.0.31", "version": 9, "expires": "2099-01-01T00:00:00Z", "meta": {"snapshot.json": {"version": 9}}}, "extra": 1}`)
	}, repository.ErrWrongKey, "timestamp by a stranger"},
	{"keys that were revoked", func(f forger) {
		r := repository.Open(f.repo)
		f.key("new")
		public, err := repository.ReadPublicKey(filepath.Join(f.keys, "new.pub"))
		f.must(err)
		f.must(r.StageRoot(map[string]repository.RoleKeys{"targets": {Keys: []*metadata.Key{public}, Threshold: 1}}))
		for _, key := range []string{"root1", "root2"} {
			f.must(repository.Sign(filepath.Join(f.repo, "staged/root.json"), f.key(key)))
		}
		f.must(r.Renew())
		f.must(repository.Sign(filepath.Join(f.repo, "staged/targets.json"), f.key("new")))
		f.must(r.Publish(f.key("online")))
		_, _, err = f.machine().server.(Channel).repository(context.Background(), f.config.Repository)
		f.must(err) // the machine has seen the new root
		f.must(os.Remove(filepath.Join(f.repo, "metadata/2.root.json")))
		f.forgeTo("3.targets.json", "5.targets.json", repositorytest.Set(5, "version"), "targets")
		f.online(5, 5)
		f.forge("timestamp.json", repositorytest.Set(9, "version"), "online")
	}, repository.ErrWrongKey, "targets by a stranger"},

	// Freeze: each level expired.
	{"root that has expired", func(f forger) {
		f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
			s["version"], s["expires"] = 2, past
		}, "root1", "root2")
	}, repository.ErrExpired, ""},
	{"timestamp that has expired", func(f forger) { f.forge("timestamp.json", repositorytest.Set(past, "expires"), "online") }, repository.ErrExpired, ""},
	{"snapshot that has expired", func(f forger) { f.forge("3.snapshot.json", repositorytest.Set(past, "expires"), "online") }, repository.ErrExpired, ""},
	{"targets that have expired", func(f forger) { f.targets(repositorytest.Set(past, "expires")) }, repository.ErrExpired, ""},

	// Rollback, at each level.
	{"root of before under the next name", func(f forger) { f.old("metadata/1.root.json", "metadata/2.root.json") }, repository.ErrMixed, ""},
	{"timestamp of before", func(f forger) { f.forge("timestamp.json", repositorytest.Set(1, "version"), "online") }, repository.ErrOlder, ""},
	{"snapshot of before", func(f forger) { f.online(1, 2) }, repository.ErrOlder, ""},
	{"targets of before", func(f forger) { f.online(4, 1) }, repository.ErrOlder, ""},

	// Fast forward, and numbers that are none.
	{"timestamp far ahead", func(f forger) { f.forge("timestamp.json", repositorytest.Set(math.MaxInt64, "version"), "online") }, repository.ErrAhead, ""},
	{"snapshot far ahead", func(f forger) { f.online(math.MaxInt64, 3) }, repository.ErrAhead, ""},
	{"targets far ahead", func(f forger) { f.online(4, math.MaxInt64) }, repository.ErrAhead, ""},
	{"timestamp -1", func(f forger) { f.forge("timestamp.json", repositorytest.Set(-1, "version"), "online") }, repository.ErrVersion, ""},
	{"timestamp 0", func(f forger) { f.forge("timestamp.json", repositorytest.Set(0, "version"), "online") }, repository.ErrVersion, ""},
	{"snapshot -1", func(f forger) { f.online(-1, 3) }, repository.ErrVersion, ""},
	{"targets -1", func(f forger) { f.online(4, -1) }, repository.ErrVersion, ""},
	{"a number that is too large", func(f forger) {
		f.write("metadata/timestamp.json", `{"signatures": [], "signed": {"_type": "timestamp", "spec_version": "1.0.31", "version": 99999999999999999999, "expires": "2099-01-01T00:00:00Z", "meta": {}}}`)
	}, repository.ErrMalformed, ""},
	{"a number with an exponent", func(f forger) {
		f.write("metadata/timestamp.json", `{"signatures": [], "signed": {"_type": "timestamp", "spec_version": "1.0.31", "version": 1e999, "expires": "2099-01-01T00:00:00Z", "meta": {}}}`)
	}, repository.ErrMalformed, ""},

	// Mix and match: files of several states.
	{"snapshot under another's name", func(f forger) { f.old("metadata/2.snapshot.json", "metadata/3.snapshot.json") }, repository.ErrMixed, ""},
	{"targets under another's name", func(f forger) { f.old("metadata/2.targets.json", "metadata/3.targets.json") }, repository.ErrMixed, ""},
	{"snapshot in the timestamp's place", func(f forger) { f.old("metadata/2.snapshot.json", "metadata/timestamp.json") }, repository.ErrMalformed, ""},
	{"targets in the snapshot's place", func(f forger) { f.old("metadata/2.targets.json", "metadata/3.snapshot.json") }, repository.ErrMalformed, ""},
	{"root in the targets' place", func(f forger) { f.old("metadata/1.root.json", "metadata/3.targets.json") }, repository.ErrMalformed, ""},
	{"manifest of another release", func(f forger) {
		text, err := os.ReadFile(must(filepath.Glob(filepath.Join(f.repo, board, "1.1.0", "*.manifest.json")))[0])
		f.must(err)
		f.manifest(string(text))
	}, release.ErrManifest, ""},
	{"a manifest that has changed", func(f forger) { f.answers("1.2.0/", text("{}")) }, repository.ErrMixed, ""},
	{"a channel that is no JSON", func(f forger) { f.channel("{") }, repository.ErrMalformed, ""},
	{"a channel at a path", func(f forger) { f.channel(`{"version": "../../etc"}`) }, repository.ErrMalformed, ""},
	{"a channel at a version that is not there", func(f forger) { f.channel(`{"version": "7.0.0"}`) }, fs.ErrNotExist, ""},
	{"a channel that has changed", func(f forger) { f.answers("stable.json", text(`{"version": "9.9.9"}`)) }, repository.ErrMixed, ""},
	{"a snapshot that is not there", func(f forger) { f.must(os.Remove(filepath.Join(f.repo, "metadata/3.snapshot.json"))) }, fs.ErrNotExist, ""},
	{"targets that are not there", func(f forger) { f.must(os.Remove(filepath.Join(f.repo, "metadata/3.targets.json"))) }, fs.ErrNotExist, ""},
	{"a release that is not there", func(f forger) {
		f.targets(func(s repositorytest.Signed) {
			delete(s["targets"].(map[string]any), repository.ManifestTarget(board, "1.2.0"))
		})
	}, fs.ErrNotExist, ""},

	// What is signed, but not what this system takes.
	{"a delegation", func(f forger) {
		f.targets(repositorytest.Set(map[string]any{"keys": map[string]any{}, "roles": []any{map[string]any{
			"name": "others", "keyids": []any{f.key("stranger").ID}, "threshold": 1, "terminating": false, "paths": []any{"*"},
		}}}, "delegations"))
	}, repository.ErrDelegation, ""},
	{"a specification of tomorrow", func(f forger) { f.forge("timestamp.json", repositorytest.Set("2.0.0", "spec_version"), "online") }, repository.ErrMalformed, ""},
	{"timestamp of nothing", func(f forger) { f.forge("timestamp.json", repositorytest.Set(map[string]any{}, "meta"), "online") }, repository.ErrMalformed, ""},
	{"timestamp of null", func(f forger) { f.forge("timestamp.json", repositorytest.Set(nil, "meta", "snapshot.json"), "online") }, repository.ErrMalformed, "timestamp of nothing"},
	{"snapshot of nothing", func(f forger) { f.forge("3.snapshot.json", repositorytest.Set(map[string]any{}, "meta"), "online") }, repository.ErrMalformed, ""},
	{"snapshot with a null", func(f forger) { f.forge("3.snapshot.json", repositorytest.Set(nil, "meta", "other.json"), "online") }, repository.ErrMalformed, ""},
	{"a null target", func(f forger) { f.targets(repositorytest.Set(nil, "targets", "other")) }, repository.ErrMalformed, ""},
	{"a target of 2^62 bytes", func(f forger) { f.target(func(t map[string]any) { t["length"] = int64(1 << 62) }) }, repository.ErrTooLarge, ""},
	{"a target of -1 bytes", func(f forger) { f.target(func(t map[string]any) { t["length"] = -1 }) }, repository.ErrMalformed, ""},
	{"a target without a hash", func(f forger) {
		f.targets(repositorytest.Set(map[string]any{"length": 2, "hashes": map[string]any{}}, "targets", "no-hash"))
	}, repository.ErrMalformed, ""},
	{"no JSON", func(f forger) { f.write("metadata/timestamp.json", "<html>") }, repository.ErrMalformed, ""},
	{"JSON that is cut off", func(f forger) { f.write("metadata/timestamp.json", `{"signatures": [`) }, repository.ErrMalformed, ""},
	{"JSON null", func(f forger) { f.write("metadata/timestamp.json", "null") }, repository.ErrMalformed, ""},
	{"nothing", func(f forger) { f.write("metadata/timestamp.json", "") }, repository.ErrMalformed, "JSON that is cut off"},
	{"JSON that is deep", func(f forger) { f.write("metadata/timestamp.json", strings.Repeat(`[`, 16<<10)) }, repository.ErrMalformed, ""},
	{"a manifest that is no JSON", func(f forger) { f.manifest("{") }, release.ErrManifest, ""},
	{"a manifest of another board", func(f forger) { f.manifestWith(`"board": "amd64-usr"`, `"board": "arm64-usr"`) }, release.ErrManifest, ""},
	{"a manifest with a path for a version", func(f forger) { f.manifestWith(`"version": "1.2.0"`, `"version": "../1.2.0"`) }, release.ErrManifest, ""},
	{"a manifest with negative blocks", func(f forger) { f.manifestWith(`"blocks": `, `"blocks": -`) }, release.ErrManifest, ""},
	{"a manifest with 2^60 blocks", func(f forger) { f.manifestWith(`"blocks": `, `"blocks": 115292150460684697`) }, release.ErrManifest, ""},
	{"a manifest with a negative size", func(f forger) { f.manifestWith(`"size": `, `"size": -`) }, release.ErrManifest, ""},

	// Endless, cut off, and elsewhere.
	{"metadata without end", func(f forger) { f.answers("3.snapshot.json", endless) }, download.ErrTooLong, ""},
	{"metadata that breaks off", func(f forger) { f.answers("3.targets.json", shorter) }, io.ErrUnexpectedEOF, ""},
	{"metadata as a bomb", func(f forger) { f.answers("3.targets.json", bomb) }, repository.ErrMalformed, ""},
	{"a manifest without end", func(f forger) { f.answers("1.2.0/", endless) }, download.ErrTooLong, ""},
	{"metadata that trickles", func(f forger) {
		f.stall = 100 * time.Millisecond
		f.answers("timestamp.json", trickle)
	}, download.ErrStalled, ""},
	{"metadata that never comes", func(f forger) {
		f.stall = 100 * time.Millisecond
		f.answers("3.snapshot.json", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}, download.ErrStalled, ""},
	{"a redirect to a file", func(f forger) { f.redirect("timestamp.json", "file:///etc/passwd") }, download.ErrRedirect, ""},
	{"a redirect in a circle", func(f forger) { f.redirect("timestamp.json", "/repo/metadata/timestamp.json") }, download.ErrRedirect, ""},
	{"a redirect to metadata", func(f forger) { f.redirect("timestamp.json", "http://169.254.169.254/latest/user-data") }, download.ErrRedirect, ""},
	{"a redirect to nothing", func(f forger) { f.redirect("timestamp.json", "http://") }, download.ErrRedirect, ""},
	{"ranges that nobody asked for", func(f forger) {
		f.answers("boot.zst", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-0")
			http.ServeFile(w, r, filepath.Join(f.repo, board, "1.2.0/boot.zst"))
		})
	}, download.ErrRange, ""},

	// Bombs in each compressed part, and bytes of another release.
	{"a bomb in the boot image", func(f forger) { f.overlay("boot.zst", 0, bombFrame()) }, slotwriter.ErrWrongBytes, ""},
	{"a bomb in the stream of /usr", func(f forger) {
		f.answers("usr.zst", http.NotFound)
		f.overlay("usr.whole.zst", wholeHeader(f), bombFrame())
	}, slotwriter.ErrWrongBytes, ""},
	{"a bomb in the parts of /usr", func(f forger) {
		f.answers("usr.whole.zst", http.NotFound)
		f.overlay("usr.zst", 0, bytes.Repeat(bombFrame(), 10))
	}, slotwriter.ErrWrongBytes, ""},
	{"a hash tree of another release", func(f forger) {
		text, err := os.ReadFile(filepath.Join(f.repo, board, "1.1.0/usr.verity"))
		f.must(err)
		f.overlay("usr.verity", 0, text)
	}, slotwriter.ErrWrongBytes, ""},
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// text answers with a text.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// shorter promises more than it sends.
func shorter(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"signed"`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// trickle sends a byte now and then.
func trickle(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// manifestWith replaces a part of the manifest of 1.2.0, all of whose occurrences.
func (f forger) manifestWith(old, new string) {
	all, err := os.ReadFile(must(filepath.Glob(filepath.Join(f.repo, board, "1.2.0", "*.manifest.json")))[0])
	f.must(err)
	if !bytes.Contains(all, []byte(old)) {
		f.t.Fatalf("no %s in %s", old, all)
	}
	f.manifest(strings.ReplaceAll(string(all), old, new))
}

// wholeHeader is the length of the frame before the data of the whole stream of 1.2.0.
func wholeHeader(f forger) int {
	all, err := os.ReadFile(filepath.Join(f.repo, board, "1.2.0/usr.whole.zst"))
	f.must(err)
	return 8 + int(all[4]) + int(all[5])<<8
}
