package makefile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKilledPostImage begins to make images where a build was killed, and fails.
func TestKilledPostImage(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".config"), "", 0o644)
	write(t, filepath.Join(dir, "build/images.abcdef/usr.img"), "", 0o644)
	write(t, filepath.Join(dir, "build/images.stamp"), "", 0o644)
	write(t, filepath.Join(dir, "host/bin/bootkey"), "#!/bin/sh\necho no key here >&2; exit 1\n", 0o755)
	command := exec.Command(filepath.Join(top(t), "post-image.sh"), filepath.Join(dir, "images"))
	command.Env = append(os.Environ(), "BASE_DIR="+dir, "BUILD_DIR="+dir+"/build", "HOST_DIR="+dir+"/host", "BR2_CONFIG="+dir+"/.config",
		"SIGNING_KEY_DIR="+dir+"/keys")
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "no key here") {
		t.Fatalf("%v: %s", err, out)
	}
	left, err := os.ReadDir(filepath.Join(dir, "build"))
	if err != nil || len(left) != 1 || left[0].Name() != "images.stamp" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// qemuScript returns a copy of the script that boots the image, beside an image, and a PATH
// with a QEMU that prints its arguments.
func qemuScript(t *testing.T, dir string) (script, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(t), "board/coreos/coreos_production_qemu.sh"))
	if err != nil {
		t.Fatal(err)
	}
	script = filepath.Join(dir, "qemu.sh")
	write(t, script, string(text), 0o755)
	bin := filepath.Join(t.TempDir(), "bin")
	write(t, filepath.Join(bin, "qemu-system-x86_64"), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n", 0o755)
	write(t, filepath.Join(bin, "qemu-img"), "#!/bin/sh\n", 0o755)
	return script, "PATH=" + bin + ":" + os.Getenv("PATH")
}

// TestQEMUScript boots an image in a directory whose name QEMU would take for options.
func TestQEMUScript(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a,b c")
	script, path := qemuScript(t, dir)
	write(t, filepath.Join(dir, "keys"), "ssh-ed25519 AAAA me\n", 0o644)
	write(t, filepath.Join(dir, "config,1"), "#cloud-config\n", 0o644)
	command := exec.Command(script, "-p", "2200", "-a", filepath.Join(dir, "keys"), "-i", filepath.Join(dir, "config,1"))
	command.Env = append(os.Environ(), path)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	doubled := strings.ReplaceAll(dir, ",", ",,")
	for _, want := range []string{
		"file=" + doubled + "/coreos_production_qemu_run.qcow2,if=none,id=coreos,format=qcow2",
		"virtio-blk-pci,drive=coreos,bootindex=0", // also where others are named
		"name=opt/com.coreos/cloud-config,file=" + doubled + "/config,,1",
		"hostfwd=tcp:127.0.0.1:2200-:22",
		"ssh.authorized_keys.root=c3NoLWVkMjU1MTkgQUFBQSBtZQo=",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

// TestQEMUScriptWithoutKeys names a file of keys that is not there: nobody could log in.
func TestQEMUScriptWithoutKeys(t *testing.T) {
	script, path := qemuScript(t, t.TempDir())
	command := exec.Command(script, "-p", "2200", "-a", "/nowhere/keys")
	command.Env = append(os.Environ(), path)
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "/nowhere/keys") || strings.Contains(string(out), "-drive") {
		t.Errorf("%v: %s", err, out)
	}
}
