package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"coreos/internal/update/payload"
)

func manifest() *Manifest {
	hash := strings.Repeat("ab", 32)
	return &Manifest{
		Format: Format, Board: "amd64-usr", Version: "4892.0.0", MinimumVersion: "4891.0.0", Notes: "# 4892.0.0\n\n- a new kernel\n",
		Boot: Content{RootHash: hash, Blocks: 100, Tree: File{4096, hash}, Payload: File{payload.IndexSize(100) + 300000, hash}},
		Usr:  Content{RootHash: hash, Blocks: 1000, Tree: File{4096 * (8 + 1), hash}, Payload: File{payload.IndexSize(1000) + 3000000, hash}},
	}
}

func TestReadManifest(t *testing.T) {
	text, err := json.Marshal(manifest())
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, manifest()) {
		t.Errorf("got %+v", got)
	}
	if want := int64(1000) * 4096; got.Usr.Size() != want {
		t.Errorf("/usr has %d bytes, want %d", got.Usr.Size(), want)
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"format":              func(m *Manifest) { m.Format = 2 },
		"no board":            func(m *Manifest) { m.Board = "" },
		"board is a path":     func(m *Manifest) { m.Board = "../x" },
		"version":             func(m *Manifest) { m.Version = "latest" },
		"version is a path":   func(m *Manifest) { m.Version = "1.0.0/../.." },
		"short version":       func(m *Manifest) { m.Version = "1" },
		"long version":        func(m *Manifest) { m.Version = "1.0.0-" + strings.Repeat("a", 100) },
		"minimum version":     func(m *Manifest) { m.MinimumVersion = "x" },
		"long notes":          func(m *Manifest) { m.Notes = strings.Repeat("a", MaxNotes+1) },
		"notes for terminals": func(m *Manifest) { m.Notes = "good \x1b[2J bad" },
		"notes in Latin-1":    func(m *Manifest) { m.Notes = "gr\xfcn" },
		"no blocks":           func(m *Manifest) { m.Usr.Blocks = 0 },
		"absurd blocks":       func(m *Manifest) { m.Usr.Blocks = 1 << 60 },
		"root hash":           func(m *Manifest) { m.Usr.RootHash = "ab" },
		"other tree":          func(m *Manifest) { m.Usr.Tree.Size += 4096 },
		"tree's hash":         func(m *Manifest) { m.Usr.Tree.SHA256 = "" },
		"payload too small":   func(m *Manifest) { m.Usr.Payload.Size = 100 },
		"payload too large":   func(m *Manifest) { m.Usr.Payload.Size = 1 << 30 },
		"negative payload":    func(m *Manifest) { m.Usr.Payload.Size = -1 },
		"no boot image":       func(m *Manifest) { m.Boot.Blocks = 0 },
		"absurd boot image":   func(m *Manifest) { m.Boot.Blocks = 1 << 20 },
		"boot image's root":   func(m *Manifest) { m.Boot.RootHash = strings.Repeat("x", 64) },
		"boot image's hash":   func(m *Manifest) { m.Boot.Payload.SHA256 = strings.Repeat("x", 64) },
		"payload's long hash": func(m *Manifest) { m.Usr.Payload.SHA256 += "00" },
	} {
		m := manifest()
		change(m)
		if err := m.Check(); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// The longest notes, of the characters that JSON writes longest, fit into a manifest.
func TestReadManifestLongNotes(t *testing.T) {
	m := manifest()
	m.Notes = strings.Repeat("<", MaxNotes)
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got.Notes != m.Notes {
		t.Errorf("got notes of %d bytes, want %d", len(got.Notes), len(m.Notes))
	}
}

// A system reads the manifest of a newer version, which may say more than it knows.
func TestReadManifestUnknownField(t *testing.T) {
	text, err := json.Marshal(manifest())
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(text), "{", `{"from_the_future": {"a": [1]}, `, 1)
	if got, err := ReadManifest(strings.NewReader(newer)); err != nil || !reflect.DeepEqual(got, manifest()) {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestReadManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":    "",
		"no JSON":  "<html>",
		"null":     "null",
		"a number": `{"usr": {"blocks": -1}}`,
		"too long": strings.Repeat(" ", MaxManifest) + "{}",
	} {
		if _, err := ReadManifest(strings.NewReader(text)); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"4891.0.0", "4891.0.0", 0},
		{"4891.0.0", "4891.0.1", -1},
		{"4891.10.0", "4891.9.0", 1},
		{"10000.0.0", "4891.0.0", 1},
		{"4891.0.0-beta", "4891.0.0", -1},
		{"4891.0.0+nightly", "4891.0.0", 0},
	} {
		if got := Compare(test.a, test.b); got != test.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func FuzzReadManifest(f *testing.F) {
	text, err := json.Marshal(manifest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ReadManifest(strings.NewReader(text)); err == nil && (m.Usr.Size() <= 0 || strings.Contains(m.Version, "/")) {
			t.Errorf("accepted %+v", m)
		}
	})
}
