package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeUsr makes a /usr with the directories.
func makeUsr(t *testing.T, dirs ...string) string {
	t.Helper()
	usr := t.TempDir()
	for _, dir := range dirs {
		if err := os.Mkdir(filepath.Join(usr, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return usr
}

// checkLaidOut checks the directories and links of a root file system.
func checkLaidOut(t *testing.T, root string, links ...string) {
	t.Helper()
	for _, dir := range []string{"etc", ".etc-work", "usr", "oem", "dev", "proc", "sys", "run", "var", "tmp"} {
		if info, err := os.Lstat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
			t.Errorf("%s is no directory: %v", dir, err)
		}
	}
	for _, link := range links {
		if target, err := os.Readlink(filepath.Join(root, link)); err != nil || target != "usr/"+link {
			t.Errorf("%s is a link to %q, %v", link, target, err)
		}
	}
}

func TestLayOut(t *testing.T) {
	root, usr := t.TempDir(), makeUsr(t, "bin", "lib", "lib64")
	for range 2 {
		if err := LayOut(root, usr); err != nil {
			t.Fatal(err)
		}
		checkLaidOut(t, root, "bin", "lib", "lib64")
		if _, err := os.Lstat(filepath.Join(root, "sbin")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a link to a directory that is not in /usr: %v", err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 13 {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestLayOutCompletes(t *testing.T) {
	root, usr := t.TempDir(), makeUsr(t, "bin", "sbin", "lib", "lib64")
	kept := filepath.Join(root, "etc/hostname")
	err := errors.Join(
		os.Mkdir(filepath.Join(root, "etc"), 0o750),
		os.WriteFile(kept, []byte("host\n"), 0o644),
		os.Symlink("usr/bin", filepath.Join(root, "bin")),
		os.Symlink("somewhere/else", filepath.Join(root, "lib64")),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := LayOut(root, usr); err != nil {
		t.Fatal(err)
	}
	checkLaidOut(t, root, "bin", "sbin", "lib")
	if text, err := os.ReadFile(kept); string(text) != "host\n" || err != nil {
		t.Errorf("%s became %q, %v", kept, text, err)
	}
	if info, err := os.Stat(filepath.Join(root, "etc")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the mode of etc was changed: %v, %v", info.Mode(), err)
	}
	if target, err := os.Readlink(filepath.Join(root, "lib64")); target != "somewhere/else" || err != nil {
		t.Errorf("lib64, a link of the operator's, became %q, %v", target, err)
	}
}

// TestLayOutKeepsLinks has directories on another disk, which is mounted later.
func TestLayOutKeepsLinks(t *testing.T) {
	root := t.TempDir()
	links := map[string]string{"tmp": "/var/tmp/that/is/not/here", "var": "data/var"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := LayOut(root, makeUsr(t)); err != nil {
		t.Fatal(err)
	}
	for name, want := range links {
		if target, err := os.Readlink(filepath.Join(root, name)); target != want || err != nil {
			t.Errorf("%s became %q, %v", name, target, err)
		}
	}
}

func TestLayOutReportsErrors(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "etc"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := LayOut(root, makeUsr(t)); err == nil || !strings.Contains(err.Error(), filepath.Join(root, "etc")) {
		t.Errorf("got error %v", err)
	}
}
