package repository

import (
	"os"
	"path/filepath"
	"testing"
)

// Metadata that a power cut left incomplete do not keep the machine from updates.
func TestDamagedState(t *testing.T) {
	f := newFixture(t)
	for _, role := range Roles {
		for _, text := range []string{"", "{", "null", `{"signed": {}}`} {
			m := f.machine()
			f.wantVersion(m, "1.0.0")
			path := filepath.Join(m.state, role+".json")
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			f.must(os.WriteFile(path, []byte(text), 0o600))
			f.wantVersion(m, "1.0.0")
		}
	}
}
