package makefile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMenuOfFlavours makes the boot loader with the configuration of each flavour: only that
// of the dev flavour has an entry with a root shell.
func TestMenuOfFlavours(t *testing.T) {
	for _, needed := range []string{"/usr/lib/grub/i386-pc/kernel.img", "/usr/lib/grub/x86_64-efi/kernel.img"} {
		if _, err := os.Stat(needed); err != nil {
			t.Skip("GRUB's modules are not installed: run make host-tools")
		}
	}
	for flavour, want := range map[string]bool{"coreos_x86_64_defconfig": false, "coreos_x86_64_dev_defconfig": true} {
		loader := flavourLoader(t, flavour)
		if !bytes.Contains(loader, []byte(`menuentry "CoreOS, slot B"`)) {
			t.Fatalf("%s: the loader has no boot menu", flavour)
		}
		if got := bytes.Contains(loader, []byte("root shell on this console")); got != want {
			t.Errorf("%s: an entry with a root shell: %v, want %v", flavour, got, want)
		}
	}
}

// flavourLoader runs post-image.sh until it has put the loaders into the tree, and returns
// the one for UEFI.
func flavourLoader(t *testing.T, flavour string) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"bootkey", "releasectl"} {
		write(t, filepath.Join(dir, "host/bin", tool), "#!/bin/sh\n", 0o755)
	}
	for _, file := range []string{"keys/boot.key", "keys/boot.pub", "build/x", "shaped/usr/share/coreos/x"} {
		write(t, filepath.Join(dir, file), "", 0o644)
	}
	if err := os.MkdirAll(filepath.Join(dir, "host/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/lib/grub", filepath.Join(dir, "host/lib/grub")); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(filepath.Join(top(t), "post-image.sh"), filepath.Join(dir, "images"))
	command.Env = append(os.Environ(), "BASE_DIR="+dir, "BUILD_DIR="+dir+"/build", "HOST_DIR="+dir+"/host", "SHAPED_DIR="+dir+"/shaped",
		"BR2_CONFIG="+filepath.Join(top(t), "configs", flavour), "SIGNING_KEY_DIR="+dir+"/keys", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := command.CombinedOutput()
	if err == nil {
		t.Fatal("post-image.sh made images of nothing")
	}
	loader, err := os.ReadFile(filepath.Join(dir, "shaped/usr/lib/coreos/loader/bootx64.efi"))
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return loader
}
