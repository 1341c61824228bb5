package blackbox

import (
	"os"
	"os/exec"
	"path/filepath"

	"coreos/internal/boot/slot"
	"coreos/test/machine"
	"coreos/test/suite"
)

// variant is another release: the image's /usr, changed by the test and made into
// a slot by the build's own script, signed with the build's key.
type variant struct {
	t       *suite.T
	images  string // directory of the images that it is made of
	tree    string
	version string
}

// newVariant unpacks the image that is tested, newNewerVariant the one that NEWER= names, if it is
// set: an update to another real build.
func newVariant(t *suite.T) *variant {
	t.Helper()
	return variantOf(t, filepath.Dir(t.Env.Image))
}

func newNewerVariant(t *suite.T) *variant {
	t.Helper()
	newer := newerImages()
	if newer == "" {
		return newVariant(t)
	}
	v := variantOf(t, newer)
	v.trustTestKeys()
	return v
}

// trustTestKeys has the variant trust the keys that sign the test's releases, as a release of
// their owner does: the images that NEWER= names may be another builder's.
func (v *variant) trustTestKeys() {
	v.t.Helper()
	coreos := filepath.Join(v.tree, "usr/share/coreos")
	v.command(filepath.Join(v.t.Env.Output, "host/bin/releasectl"), "keys", filepath.Join(keyDir(v.t), "update"), "--root-file", filepath.Join(coreos, "update-root.json"))
	v.command("install", "-m", "644", filepath.Join(keyDir(v.t), "boot.pub"), coreos)
}

// newerImages is the directory that NEWER= names, "" without it.
func newerImages() string { return os.Getenv("COREOS_NEWER") }

func variantOf(t *suite.T, images string) *variant {
	t.Helper()
	v := &variant{t: t, images: images, tree: filepath.Join(t.Dir, "tree")}
	t.Must(os.MkdirAll(v.tree, 0o755))
	v.command("fsck.erofs", "--extract="+filepath.Join(v.tree, "usr"), "--overwrite", filepath.Join(images, "coreos_production_usr.img"))
	return v
}

func (v *variant) command(name string, args ...string) {
	v.t.Helper()
	command := exec.CommandContext(v.t.Context, name, args...)
	command.Env = append(os.Environ(), v.environment()...)
	if out, err := command.CombinedOutput(); err != nil {
		v.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (v *variant) environment() []string {
	output := v.t.Env.Output
	return []string{
		"COREOS_VERSION=" + v.version, "SIGNING_KEY_DIR=" + keyDir(v.t), "SOURCE_DATE_EPOCH=1700000000", "HOST_DIR=" + filepath.Join(output, "host"),
		"PATH=" + filepath.Join(output, "host/bin") + ":" + os.Getenv("PATH"),
	}
}

// keyDir returns the directory of the key with which the image was signed.
func keyDir(t *suite.T) string {
	t.Helper()
	dir := os.Getenv("SIGNING_KEY_DIR")
	if dir == "" {
		t.Fatal("SIGNING_KEY_DIR is not set: run these tests by make")
	}
	return dir
}

// append adds text to a file of the tree, or makes it.
func (v *variant) append(path, text string) {
	v.t.Helper()
	file, err := os.OpenFile(filepath.Join(v.tree, path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	v.t.Must(err)
	_, err = file.WriteString(text)
	v.t.Must(err)
	v.t.Must(file.Close())
}

// build makes the variant's slot images, in the test's directory.
func (v *variant) build(version string) {
	v.t.Helper()
	v.version = version
	v.append("usr/lib/os-release", "VERSION_ID="+version+"\n")
	v.append("usr/share/coreos/release", "COREOS_RELEASE_VERSION="+version+"\n")
	v.command(filepath.Join(v.t.Env.Top, "board/coreos/make-slot.sh"), v.tree,
		filepath.Join(v.images, "bzImage"), filepath.Join(v.images, "bootengine"), v.t.Dir)
}

// install makes the variant and writes it to a slot of the disk.
func (v *variant) install(disk *machine.Disk, name slot.Name, version string) {
	v.t.Helper()
	v.build(version)
	write(v.t, disk, name.BootLabel(), v.image("boot"))
	write(v.t, disk, name.UsrLabel(), v.image("usr"))
}

// image is the path of a slot image that was built.
func (v *variant) image(content string) string {
	return filepath.Join(v.t.Dir, "coreos_production_"+content+".img")
}

// write fills the start of a partition with a file.
func write(t *suite.T, disk *machine.Disk, label, path string) {
	t.Helper()
	extent, err := disk.Partition(label)
	t.Must(err)
	t.Must(disk.WriteFile(extent.Offset, path))
}
