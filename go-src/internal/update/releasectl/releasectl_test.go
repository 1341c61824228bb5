package releasectl

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/boot/bootimage/imagetest"
	"coreos/internal/boot/verity"
	"coreos/internal/cli/program/programtest"
)

// images makes VERSION-boot and VERSION-usr.
func images(t *testing.T, version string) {
	t.Helper()
	data := bytes.Repeat([]byte(version[:4]), 16*verity.BlockSize/4)
	boot, usr := imagetest.Slot(t, version, data)
	if err := errors.Join(os.WriteFile(version+"-boot", boot, 0o644), os.WriteFile(version+"-usr", usr, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestRepository keeps a repository as a publisher does whose keys are apart.
func TestRepository(t *testing.T) {
	t.Chdir(t.TempDir())
	images(t, "1.0.0")
	images(t, "2.0.0")
	programtest.Check(t, root, []programtest.Call{
		{"key root", 0, "", ""}, {"key targets", 0, "", ""}, {"key online", 0, "", ""},
		{"key root", 1, "", "releasectl: "}, // it is there
		{"root r --root root.pub --targets targets.pub --online online.pub", 0, "", ""},
		{"publish r --key online", 1, "", "releasectl: "}, // nobody signed the root
		{"sign r/staged/root.json --key root", 0, "", ""},
		{"publish r --key online --root-file trust.json", 1, "", "releasectl: "}, // nor the targets
		{"renew r", 0, "", ""},
		{"sign r/staged/targets.json --key targets", 0, "", ""},
		{"publish r --key online --root-file trust.json", 0, "", ""},
		{"add r 1.0.0-boot 1.0.0-usr", 0, "staged 1.0.0 for amd64-usr: boot ", ""},
		{"channel r stable 1.0.0", 0, "", ""},
		{"sign r/staged/targets.json --key root", 0, "", ""},
		{"publish r --key online", 1, "", "releasectl: "}, // no key of the targets has signed
		{"sign r/staged/targets.json --key targets", 0, "", ""},
		{"publish r --key online", 0, "", ""},
		{"show r", 0, "amd64-usr  stable   1.0.0\n", ""},
		{"show r 1.0.0", 0, "RELEASE  1.0.0\n", ""},
		{"show r 2.0.0", 1, "", "releasectl: "},
		{"verify r --root-file trust.json", 0, "good\n", ""},
		{"bundle r 1.0.0 one.bundle", 0, "", ""},
		{"bundle r 2.0.0 two.bundle", 1, "", "releasectl: "},
		{"channel r stable 3.0.0", 1, "", "releasectl: "},
		{"add r 2.0.0-boot 1.0.0-usr", 1, "", "releasectl: "}, // images of two versions
		{"add r 2.0.0-boot 2.0.0-usr --minimum-version 1.0.0", 0, "staged 2.0.0", ""},
		{"remove r 1.0.0", 1, "", "releasectl: "}, // the channel has it
	})
	if _, err := os.Stat("two.bundle"); err == nil {
		t.Error("a bundle that failed is there")
	}
	if info, err := os.Stat("one.bundle"); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o644 {
		t.Errorf("one.bundle: %v, %v", info, err)
	}
	r := programtest.Run(t, root(), "show", "r", "--json")
	var state struct{ Channels, Releases []map[string]any }
	if err := json.Unmarshal([]byte(r.Out), &state); err != nil || r.Status != 0 {
		t.Errorf("show --json: status %d, %v\n%s", r.Status, err, r.Out)
	}
}

// TestPack publishes a build by its own keys.
func TestPack(t *testing.T) {
	t.Chdir(t.TempDir())
	images(t, "1.0.0")
	if err := os.WriteFile("notes.md", []byte("- faster\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	programtest.Check(t, root, []programtest.Call{
		{"keys k --root-file trust.json", 0, "releasectl: made new keys in k\n", ""},
		{"keys k", 0, "", ""},
		{"pack r 1.0.0-boot 1.0.0-usr one.bundle --keys k --channel beta --notes notes.md", 0, "", ""},
		{"show r 1.0.0", 0, "\n- faster\n", ""},
		{"pack r 1.0.0-boot 1.0.0-usr two.bundle --keys k --notes gone.md", 1, "", "release notes"},
		{"show r", 0, "amd64-usr  beta     1.0.0\n", ""},
		{"verify r --root-file trust.json", 0, "good\n", ""},
		{"pack r 1.0.0-usr 1.0.0-boot two.bundle --keys k", 1, "", "releasectl: "},
		{"pack r 1.0.0-boot 1.0.0-usr /none/x.bundle --keys k", 1, "", "write the bundle"},
	})
	damage(t, "r")
	programtest.Check(t, root, []programtest.Call{{"verify r --root-file trust.json", 1, "", "releasectl: "}})
}

// damage changes a byte of the largest file of a repository: a payload.
func damage(t *testing.T, repository string) {
	t.Helper()
	var path string
	var size int64
	err := filepath.Walk(repository, func(at string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > size && !strings.HasSuffix(at, ".json") {
			path, size = at, info.Size()
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("no payload in %s: %v", repository, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMisuse(t *testing.T) {
	t.Chdir(t.TempDir())
	programtest.Check(t, root, []programtest.Call{
		{"", 0, "Available Commands", ""},
		{"nonsense", 2, "", `releasectl: unknown command "nonsense"`},
		{"show", 2, "", "accepts between 1 and 2 arg(s), received 0"},
		{"show r 1 2", 2, "", "accepts between 1 and 2 arg(s), received 3"},
		{"verify r", 2, "", `required flag(s) "root-file" not set`},
		{"verify r --root-file none", 1, "", "read the root metadata"},
		{"sign x", 2, "", `required flag(s) "key" not set`},
		{"sign", 2, "", "requires at least 1 arg(s)"},
		{"sign x --key none", 1, "", "none"},
		{"publish r", 2, "", `required flag(s) "key" not set`},
		{"add r boot usr --patches=x", 2, "", "invalid argument"},
		{"add r boot usr", 1, "", "releasectl: "},
		{"root r --root none.pub", 1, "", "none.pub"},
		{"pack r boot usr bundle", 2, "", `required flag(s) "keys" not set`},
		{"show none", 1, "", "releasectl: "},
	})
}

func TestHelpNamesStatuses(t *testing.T) {
	if r := programtest.Run(t, root(), "--help"); !strings.Contains(r.Out, "Exit status: 0 on success, 1 on an error, 2 for a wrong command line.") {
		t.Errorf("help:\n%s", r.Out)
	}
}
