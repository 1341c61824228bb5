package engine

import (
	"context"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/update/repository"
	"coreos/internal/update/repository/repositorytest"
)

// forgedSignatures are arbitrary software: metadata by the wrong keys, or by too few.
var forgedSignatures = []forgery{
	{"timestamp by a stranger", func(f forger) { f.forge("timestamp.json", repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"snapshot by a stranger", func(f forger) { f.forge("3.snapshot.json", repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"targets by a stranger", func(f forger) { f.forge("3.targets.json", repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"root by a stranger", func(f forger) { f.root(repositorytest.Keep, "stranger") }, repository.ErrWrongKey, ""},
	{"root by half of its keys", func(f forger) { f.root(repositorytest.Keep, "root1") }, repository.ErrWrongKey, ""},
	{"root signed twice by one key", func(f forger) { f.root(repositorytest.Keep, "root1", "root1") }, repository.ErrWrongKey, ""},
	{"targets signed twice by a stranger", func(f forger) { f.forge("3.targets.json", repositorytest.Keep, "stranger", "stranger") }, repository.ErrWrongKey, ""},
	{"root that lowers its own threshold", func(f forger) {
		f.root(func(s repositorytest.Signed) {
			repositorytest.Set(1, "roles", "root", "threshold")(s)
			repositorytest.Set([]any{f.key("stranger").ID}, "roles", "targets", "keyids")(s)
		}, "stranger", "root2")
	}, repository.ErrWrongKey, "root by half of its keys"},
	{"root with a threshold that nobody reaches", func(f forger) {
		f.root(repositorytest.Set(3, "roles", "root", "threshold"), "root1", "root2")
	}, repository.ErrWrongKey, ""},
	{"root with a threshold of none", func(f forger) {
		f.root(repositorytest.Set(0, "roles", "timestamp", "threshold"), "root1", "root2")
	}, repository.ErrMalformed, ""},
	{"root without a role", func(f forger) {
		f.root(func(s repositorytest.Signed) {
			delete(s["roles"].(map[string]any), "snapshot")
		}, "root1", "root2")
	}, repository.ErrMalformed, ""},
	{"root with a null key", func(f forger) {
		f.root(repositorytest.Set(nil, "keys", "0"), "root1", "root2")
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
		f.timestamp(repositorytest.Set(9, "version"))
	}, repository.ErrWrongKey, "targets by a stranger"},
}
