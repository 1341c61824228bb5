package makefile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPublicationRecord signs with other keys and publishes elsewhere: the images depend on
// a record of both, which keeps its time while nothing changes.
func TestPublicationRecord(t *testing.T) {
	output := t.TempDir()
	record := filepath.Join(output, "build/debian/publication")
	changed := func(args ...string) bool {
		t.Helper()
		long := time.Unix(1_000_000_000, 0)
		_ = os.Chtimes(record, long, long)
		if out, ok := run(t, output, append([]string{"O=" + output, record}, args...)...); !ok {
			t.Fatal(out)
		}
		info, err := os.Stat(record)
		if err != nil {
			t.Fatal(err)
		}
		return !info.ModTime().Equal(long)
	}
	for _, step := range []struct {
		args    []string
		changed bool
	}{
		{nil, true},
		{nil, false},
		{[]string{"SIGNING_KEY_DIR=/keys"}, true},
		{[]string{"SIGNING_KEY_DIR=/keys"}, false},
		{[]string{"SIGNING_KEY_DIR=/keys", "COREOS_REPOSITORY=site"}, true},
		{[]string{"SIGNING_KEY_DIR=/keys", "COREOS_REPOSITORY=" + filepath.Join(output, "site")}, false},
	} {
		if got := changed(step.args...); got != step.changed {
			t.Errorf("make %v: the record changed %t, want %t", step.args, got, step.changed)
		}
	}
	rules, _ := run(t, output, "O="+output, "-pn", "help")
	_, rest, _ := strings.Cut(rules, "\n"+filepath.Join(output, "build/debian/images.stamp")+":")
	needs, _, _ := strings.Cut(rest, "\n")
	if !strings.Contains(needs, record) {
		t.Errorf("the images do not depend on %s, but on %s", record, needs)
	}
}

// TestFlavourIsCurrent changes a flavour after a configuration was made of it.
func TestFlavourIsCurrent(t *testing.T) {
	output := t.TempDir()
	const flavour = "coreos_x86_64_dev_defconfig"
	if out, ok := run(t, output, "O="+output, flavour); !ok {
		t.Fatal(out)
	}
	if out, ok := run(t, output, "O="+output, ".flavour-is-current"); !ok || strings.Contains(out, "warning") {
		t.Errorf("after make %s: %s", flavour, out)
	}
	write(t, filepath.Join(output, ".flavour"), strings.Repeat("0", 64)+"  configs/"+flavour+"\n", 0o644)
	if out, ok := run(t, output, "O="+output, ".flavour-is-current"); !ok || !strings.Contains(out, "run make "+flavour) {
		t.Errorf("after a change of the flavour: %s", out)
	}
}

// TestTreeOfAnotherUser has the time of the last commit, though git refuses such a tree.
func TestTreeOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to another user")
	}
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "VERSION", "base"} {
		if err := os.Symlink(filepath.Join(top(t), name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "print.mk"), "print:\n\t@echo time $$SOURCE_DATE_EPOCH\n", 0o644)
	script := `set -eu; cd "$1"; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
		git init -q; GIT_COMMITTER_DATE=@1700000000 git -c user.name=a -c user.email=a commit -q --allow-empty -m x
		chown 65534 . .git; unset SUDO_UID; make --no-print-directory -f print.mk -f Makefile print`
	command := exec.Command("bash", "-c", script, "bash", dir)
	command.Env = environment()
	out, err := command.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "\ntime 1700000000\n") { // after complaints about files that this tree lacks
		t.Errorf("got %q, %v", out, err)
	}
}

// TestBootstrapNeedsRoot has another user make the base tree.
func TestBootstrapNeedsRoot(t *testing.T) {
	script := filepath.Join(top(t), "base/debian/bootstrap.sh")
	command := exec.Command("bash", script, "trixie", filepath.Join(t.TempDir(), "base"), t.TempDir())
	if os.Geteuid() == 0 {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		command = exec.Command("setpriv", "--reuid=65534", "bash", "-c", string(text), "bootstrap.sh", "trixie", "/nonexistent/base", "/nonexistent")
	}
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "run make as root") {
		t.Errorf("%v: %s", err, out)
	}
}
