package repository

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Metadata that a power cut left incomplete do not keep the machine from updates.
func TestDamagedState(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"1.root.json", "timestamp.json", "snapshot.json", "targets.json", "clock"} {
		for _, text := range []string{"", "{", "null", `{"signed": {}}`} {
			m := f.machine()
			f.wantVersion(m, "1.0.0")
			path := filepath.Join(m.state, name)
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			f.must(os.WriteFile(path, []byte(text), 0o600))
			f.wantVersion(m, "1.0.0")
		}
	}
}

// Systems up to 4891.0.0 keep the newest root metadata in root.json.
func TestRootOfOlderSystemCounts(t *testing.T) {
	f := newFixture(t)
	m := f.machine()
	stolen := f.copy()
	f.revoke()
	f.must(os.WriteFile(filepath.Join(m.state, "root.json"), must(f.Root()), 0o600))
	stolen.add("9.0.0")
	if version, err := stolen.version(m); !errors.Is(err, ErrWrongKey) {
		t.Errorf("version %q, error %v", version, err)
	}
}
