package engine

import (
	"os"
	"strings"
	"testing"
)

func TestDamagedState(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "{", `{"pending": 7}`, strings.Repeat(" ", maxState+1)} {
		if err := os.WriteFile(statePath(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readState(dir); err == nil || s == nil || s.Pending != nil || s.Failed == nil {
			t.Errorf("%.20q: %+v, %v", text, s, err)
		}
	}
}
