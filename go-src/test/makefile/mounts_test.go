// Package makefile tests what make and the scripts of a build do to the machine that
// builds.
package makefile

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// top returns the top directory of the tree. It reads the files that the tests run, so that
// go test does not use results from before a change.
func top(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"Makefile", "base/debian/bootstrap.sh", "post-image.sh"} {
		if _, err := os.ReadFile(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// needMounts skips a test on a machine that does not let it mount file systems.
func needMounts(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "none", t.TempDir()).CombinedOutput(); err != nil {
		t.Skipf("no mount namespaces here, which need root: %v: %s", err, out)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// TestCleanStaysOnTheFileSystem mounts a file system below the output directory, and one
// at an entry of it, and runs make clean.
func TestCleanStaysOnTheFileSystem(t *testing.T) {
	needMounts(t)
	output := t.TempDir()
	for _, path := range []string{"keys/boot.key", "dl/a.tar", "images/a.img", "build/debian/base/etc/hostname", "build/debian/base/proc/", "target/"} {
		if strings.HasSuffix(path, "/") {
			path += ".under"
		}
		write(t, filepath.Join(output, path), "", 0o644)
	}
	script := `set -eu
		mount -t tmpfs none "$1/build/debian/base/proc"; mount -t tmpfs none "$1/target"
		touch "$1/build/debian/base/proc/kept" "$1/target/kept"
		make --no-print-directory -C "$2" O="$1" clean && echo "make clean says that all is gone" >&2
		cd "$1"; find . -type f | LC_ALL=C sort`
	command := exec.Command("unshare", "--mount", "bash", "-c", script, "bash", output, top(t))
	var problems strings.Builder
	command.Stderr = &problems
	left, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, problems.String())
	}
	want := "./build/debian/base/proc/kept\n./dl/a.tar\n./keys/boot.key\n./target/kept\n"
	if string(left) != want {
		t.Errorf("left are:\n%s\nwant:\n%s", left, want)
	}
	if got := problems.String(); !strings.Contains(got, "different device") || strings.Contains(got, "all is gone") {
		t.Errorf("make clean says: %s", got)
	}
}

func TestClean(t *testing.T) {
	output := t.TempDir()
	for _, path := range []string{"keys/boot.key", "dl/a.tar", ".config", "build/debian/base/etc/hostname"} {
		write(t, filepath.Join(output, path), "", 0o644)
	}
	if out, err := exec.Command("make", "-C", top(t), "O="+output, "clean").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	entries, err := os.ReadDir(output)
	if err != nil || len(entries) != 2 || entries[0].Name() != "dl" || entries[1].Name() != "keys" {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// TestKilledBootstrap kills the script that makes the base tree, and all that it started,
// while /proc is mounted in the tree.
func TestKilledBootstrap(t *testing.T) {
	needMounts(t)
	dir := t.TempDir()
	tree := filepath.Join(dir, "base")
	write(t, tree+".abcdef/root/old", "", 0o644) // of an earlier build that was killed
	write(t, filepath.Join(dir, "bin", "mmdebstrap"), `#!/bin/bash
		for argument; do case $argument in */root) root=$argument ;; esac; done
		mkdir -p "$root/proc" && mount -t proc none "$root/proc" && grep -c "$root/proc" /proc/self/mountinfo >&3
		exec sleep 1000
	`, 0o755)
	command := exec.Command(filepath.Join(top(t), "base/debian/bootstrap.sh"), "trixie", tree, dir)
	command.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ready, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	command.ExtraFiles = []*os.File{writer}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	line, err := bufio.NewReader(ready).ReadString('\n')
	killed := syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	_ = command.Wait()
	if line != "1\n" || err != nil || killed != nil {
		t.Fatalf("the build did not get as far as mounting: %q, %v, %v", line, err, killed)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts are left, %v", err)
	}
	if _, err := os.Stat(tree + ".abcdef"); !os.IsNotExist(err) {
		t.Errorf("the tree of an earlier build is left: %v", err)
	}
}
