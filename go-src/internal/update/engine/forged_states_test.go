package engine

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/repository/repositorytest"
)

// forgedStates are metadata of the right keys that says when, or which state, it is of.
var forgedStates = []forgery{
	// Freeze: each level expired.
	{"root that has expired", func(f forger) {
		f.root(repositorytest.Set(past, "expires"), "root1", "root2")
	}, repository.ErrExpired, ""},
	{"timestamp that has expired", func(f forger) { f.timestamp(repositorytest.Set(past, "expires")) }, repository.ErrExpired, ""},
	{"snapshot that has expired", func(f forger) { f.forge("3.snapshot.json", repositorytest.Set(past, "expires"), "online") }, repository.ErrExpired, ""},
	{"targets that have expired", func(f forger) { f.targets(repositorytest.Set(past, "expires")) }, repository.ErrExpired, ""},

	// Rollback, at each level.
	{"root of before under the next name", func(f forger) { f.old("metadata/1.root.json", "metadata/2.root.json") }, repository.ErrMixed, ""},
	{"timestamp of before", func(f forger) { f.timestamp(repositorytest.Set(1, "version")) }, repository.ErrOlder, ""},
	{"snapshot of before", func(f forger) { f.online(1, 2) }, repository.ErrOlder, ""},
	{"targets of before", func(f forger) { f.online(4, 1) }, repository.ErrOlder, ""},

	// Fast forward, and numbers that are none.
	{"timestamp far ahead", func(f forger) { f.timestamp(repositorytest.Set(math.MaxInt64, "version")) }, repository.ErrAhead, ""},
	{"snapshot far ahead", func(f forger) { f.online(math.MaxInt64, 3) }, repository.ErrAhead, ""},
	{"targets far ahead", func(f forger) { f.online(4, math.MaxInt64) }, repository.ErrAhead, ""},
	{"timestamp -1", func(f forger) { f.timestamp(repositorytest.Set(-1, "version")) }, repository.ErrVersion, ""},
	{"timestamp 0", func(f forger) { f.timestamp(repositorytest.Set(0, "version")) }, repository.ErrVersion, ""},
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
}
