package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// apart are the commands that are binaries of their own, and why.
var apart = map[string]string{
	"containerd":              "is ctr as well, and one binary with it",
	"containerd-shim-runc-v2": "runs for each container, whose memory counts",
	"multicall":               "is this binary",
	"bootengine":              "is alone in the initramfs",
	"slotctl":                 "runs in every boot and needs a sixth of the memory alone",
	"bootkey":                 "runs on the build host",
	"configctl":               "runs on the build host and on operators' machines",
	"dynstrip":                "runs on the build host",
	"releasectl":              "runs on the build host and where releases are published",
	"sbom":                    "runs on the build host",
}

// commands returns the names of the commands in ../.
func commands(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob("../*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("no commands: %v", err)
	}
	var names []string
	for _, path := range mains {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names
}

// whole builds the binary with all commands, once.
var whole = sync.OnceValues(func() (string, error) { return build("") })

// directory is where binaries are built.
var directory string

func TestMain(m *testing.M) {
	var err error
	if directory, err = os.MkdirTemp("", "multicall-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(directory)
	os.Exit(code)
}

// build builds the binary with some tags and returns its path.
func build(tags string) (string, error) {
	path := filepath.Join(directory, "multicall"+tags)
	command := exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", path, "coreos/cmd/multicall")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build -tags %q: %w\n%s", tags, err, out)
	}
	return path, nil
}

// call runs the binary by a name and returns what it prints and its exit status.
func call(t *testing.T, binary, name string, args ...string) (out string, status int) {
	t.Helper()
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(binary, link); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(link, args...)
	command.Dir = t.TempDir()
	text, err := command.CombinedOutput()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		return string(text), failed.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(text), 0
}

// TestCommands starts every command of the tree by its name.
func TestCommands(t *testing.T) {
	t.Parallel()
	binary, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	names := append(commands(t), "locksmithd")
	for _, name := range names {
		_, linked := programs[name]
		switch _, alone := apart[name]; {
		case linked == alone:
			t.Errorf("%s: in this binary %t, apart %t", name, linked, alone)
		case linked:
			if out, status := call(t, binary, name, "--help"); status != 0 || !strings.Contains(out, name) {
				t.Errorf("%s --help: status %d\n%s", name, status, out)
			}
		}
	}
	for name := range programs {
		if !slices.Contains(names, name) {
			t.Errorf("%s is no command of the tree", name)
		}
	}
	if out, status := call(t, binary, "fleetx", "start"); status != 2 || !strings.Contains(out, `no command "fleetx" in this binary; it has coreos-cloudinit, etcd,`) {
		t.Errorf("an unknown name: status %d\n%s", status, out)
	}
}

// TestPrefixes lets only those commands take the beginning of a command's name that do so
// as a binary of their own.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	binary, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   string
		status int
		out    string // what it contains
	}{
		"etcdctl":        {"versio", 0, "etcdctl version"},
		"etcdutl":        {"versio", 0, "etcdutl version"},
		"fleetctl":       {"versio", 0, "fleetctl version"},
		"fleetd":         {"versio", 2, "unexpected argument"},
		"locksmithctl":   {"send-need", 2, "unknown command"},
		"etcd-memberctl": {"snap", 2, "unknown command"},
	} {
		if out, status := call(t, binary, name, strings.Fields(test.args)...); status != test.status || !strings.Contains(out, test.out) {
			t.Errorf("%s %s: status %d, want %d\n%s", name, test.args, status, test.status, out)
		}
	}
}

// TestPackages compares the files of this package with the Buildroot packages, and what
// the tag of a package leaves out.
func TestPackages(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../package/*/*.mk")
	if err != nil || len(files) == 0 {
		t.Fatalf("no packages: %v", err)
	}
	all := linked(t, "")
	found := map[string]bool{"locksmithd": true} // a link in rootfs-overlay
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("$(eval $(coreos-command-package))")) {
			continue
		}
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".mk"), "-", "_")
		_, rest, ok := strings.Cut(string(text), strings.ToUpper(name)+"_COMMANDS = ")
		if !ok {
			t.Errorf("%s does not set %s_COMMANDS", file, strings.ToUpper(name))
		}
		line, _, _ := strings.Cut(rest, "\n")
		source, err := os.ReadFile(name + ".go")
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.HasPrefix(source, []byte("//go:build !no_"+name+"\n")) {
			t.Errorf("%s.go is not left out by the tag no_%s", name, name)
		}
		for _, command := range strings.Fields(line) {
			found[command] = true
			if _, ok := programs[command]; !ok || !bytes.Contains(source, []byte(`programs["`+command+`"] = `)) {
				t.Errorf("%s names %s, and %s.go does not have it", file, command, name)
			}
		}
		if without := linked(t, "no_"+name); len(without) >= len(all) {
			t.Errorf("the tag no_%s leaves out no package of ours", name)
		}
	}
	for name := range programs {
		if !found[name] {
			t.Errorf("%s is in no package", name)
		}
	}
}

// TestLeftOut leaves fleet out.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	for _, path := range linked(t, "no_fleet") {
		if strings.HasPrefix(path, "coreos/internal/fleet/") {
			t.Errorf("%s is linked", path)
		}
	}
	binary, err := build("no_fleet")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fleetd", "fleetctl"} {
		if out, status := call(t, binary, name, "--help"); status != 2 || !strings.Contains(out, "no command") {
			t.Errorf("%s: status %d\n%s", name, status, out)
		}
	}
	if out, status := call(t, binary, "etcdctl", "--help"); status != 0 {
		t.Errorf("etcdctl: status %d\n%s", status, out)
	}
}

// linked returns the packages of ours that the binary links with some tags.
func linked(t *testing.T, tags string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-tags", tags, "coreos/cmd/multicall")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, path := range strings.Fields(string(out)) {
		if strings.HasPrefix(path, "coreos/internal/") {
			paths[path] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}
