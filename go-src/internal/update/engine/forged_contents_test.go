package engine

import (
	"strings"

	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/repository/repositorytest"
)

// forgedContents are signed, but not what this system takes.
var forgedContents = []forgery{
	{"a delegation", func(f forger) {
		f.targets(repositorytest.Set(map[string]any{"keys": map[string]any{}, "roles": []any{map[string]any{
			"name": "others", "keyids": []any{f.key("stranger").ID}, "threshold": 1, "terminating": false, "paths": []any{"*"},
		}}}, "delegations"))
	}, repository.ErrDelegation, ""},
	{"a specification of tomorrow", func(f forger) { f.timestamp(repositorytest.Set("2.0.0", "spec_version")) }, repository.ErrMalformed, ""},
	{"timestamp of nothing", func(f forger) { f.timestamp(repositorytest.Set(map[string]any{}, "meta")) }, repository.ErrMalformed, ""},
	{"timestamp of null", func(f forger) { f.timestamp(repositorytest.Set(nil, "meta", "snapshot.json")) }, repository.ErrMalformed, "timestamp of nothing"},
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
}
