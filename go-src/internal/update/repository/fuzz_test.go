package repository

import (
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// FuzzMetadata gives each role's metadata to a machine that trusts a repository.
func FuzzMetadata(f *testing.F) {
	for _, role := range Roles {
		f.Add(role, []byte(`{"signatures": [{"keyid": "x", "sig": "00"}], "signed": {"_type": "`+role+`", "spec_version": "1.0.31", "version": 1, "expires": "2099-01-01T00:00:00Z",
			"meta": {"snapshot.json": {"version": 1}, "targets.json": {"version": 1, "length": 3, "hashes": {"sha256": "00"}}, "x": null},
			"keys": {"x": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}}, "y": null}, "roles": {"root": {"keyids": ["x"], "threshold": 1}, "x": null},
			"targets": {"a": {"length": 1, "hashes": {"sha256": "00"}}, "b": null}, "delegations": {"keys": {}, "roles": []}}}`))
	}
	dir := f.TempDir()
	if _, err := MakeKeys(dir); err != nil {
		f.Fatal(err)
	}
	text, err := Open(dir).Root()
	if err != nil {
		f.Fatal(err)
	}
	root, err := parse[metadata.RootType](metadata.ROOT, text)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, role string, text []byte) {
		trusted := false
		switch role {
		case metadata.ROOT:
			trusted = taken[metadata.RootType](root, role, text)
		case metadata.TARGETS:
			trusted = taken[metadata.TargetsType](root, role, text)
		case metadata.SNAPSHOT:
			trusted = taken[metadata.SnapshotType](root, role, text)
		case metadata.TIMESTAMP:
			trusted = taken[metadata.TimestampType](root, role, text)
		}
		if trusted {
			t.Errorf("%s: taken", text)
		}
	})
}

func taken[T metadata.Roles](root *metadata.Metadata[metadata.RootType], role string, text []byte) bool {
	m, err := parse[T](role, text)
	return err == nil && guard(func() error { return root.VerifyDelegate(role, m) }) == nil
}
