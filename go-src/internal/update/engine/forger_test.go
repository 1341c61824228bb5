package engine

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"coreos/internal/update/repository"
	"coreos/internal/update/repository/repositorytest"
)

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

// root forges the next root metadata.
func (f forger) root(change func(repositorytest.Signed), keys ...string) {
	f.forgeTo("1.root.json", "2.root.json", func(s repositorytest.Signed) {
		s["version"] = 2
		change(s)
	}, keys...)
}

// timestamp forges the timestamp.
func (f forger) timestamp(change func(repositorytest.Signed)) {
	f.forge("timestamp.json", change, "online")
}

// online forges a snapshot with a number that names targets with another, and a timestamp for
// it, as a thief of the online key can.
func (f forger) online(snapshot, targets int64) {
	f.forgeTo("3.snapshot.json", fmt.Sprintf("%d.snapshot.json", snapshot), func(s repositorytest.Signed) {
		s["version"] = snapshot
		repositorytest.Set(targets, "meta", "targets.json", "version")(s)
	}, "online")
	f.timestamp(func(s repositorytest.Signed) {
		s["version"] = 4
		repositorytest.Set(snapshot, "meta", "snapshot.json", "version")(s)
	})
}

// targets forges the current targets.
func (f forger) targets(change func(repositorytest.Signed)) {
	f.forge("3.targets.json", change, "targets")
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

// manifestWith replaces a part of the manifest of 1.2.0, all of whose occurrences.
func (f forger) manifestWith(old, new string) {
	all, err := os.ReadFile(must(filepath.Glob(filepath.Join(f.repo, board, "1.2.0", "*.manifest.json")))[0])
	f.must(err)
	if !bytes.Contains(all, []byte(old)) {
		f.t.Fatalf("no %s in %s", old, all)
	}
	f.manifest(strings.ReplaceAll(string(all), old, new))
}

// channel replaces the channel by one that the targets key has signed.
func (f forger) channel(text string) {
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	f.write(filepath.Join("channels", board, hash+".stable.json"), text)
	f.targets(repositorytest.Set(map[string]any{"length": len(text), "hashes": map[string]any{"sha256": hash}}, "targets", repository.ChannelTarget(board, "stable")))
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

// overlay writes bytes over a file of 1.2.0, so that its size stays.
func (f forger) overlay(name string, at int, text []byte) {
	path := filepath.Join(f.repo, board, "1.2.0", name)
	all, err := os.ReadFile(path)
	f.must(err)
	copy(all[at:], text)
	f.must(os.WriteFile(path, all, 0o644))
}

// redirect sends the machine elsewhere for a file.
func (f forger) redirect(word, to string) {
	f.answers(word, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
}

// wholeHeader is the length of the frame before the data of the whole stream of 1.2.0.
func wholeHeader(f forger) int {
	all, err := os.ReadFile(filepath.Join(f.repo, board, "1.2.0/usr.whole.zst"))
	f.must(err)
	return 8 + int(all[4]) + int(all[5])<<8
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

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
