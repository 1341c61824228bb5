package blackbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "reproducible", Needs: []suite.Need{suite.SigningKey}, Machines: 1, Limit: 5 * time.Minute,
		Does: "the same base and key, built again elsewhere, give the same bytes",
		Run:  reproducible,
	})
}

// reproducible repeats all steps of the build that do not need the archive, in another directory.
func reproducible(t *suite.T) {
	base := filepath.Join(t.Env.Output, "build/debian/base")
	if _, err := os.Stat(base); err != nil {
		t.Skip("the image was not built on the dev base here")
	}
	again := filepath.Join(t.Dir, "again")
	// The base is copied as it is. The stamp after it says that it is complete.
	script := `set -e
		mkdir -p "$2/build/debian" "$2/images"
		cp -p "$1/.config" "$2/"
		cp -p "$1/images/bzImage" "$1/images/packages.tsv" "$2/images/"
		cp -a "$1/build/debian/base" "$2/build/debian/"
		cp -p "$1/build/debian/base.stamp" "$2/build/debian/"
		make -C "$3" O="$2" SIGNING_KEY_DIR="$4" all`
	command := exec.CommandContext(t.Context, "sh", "-c", script, "sh", t.Env.Output, again, t.Env.Top, keyDir(t))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{
		"coreos_production_image.bin", "coreos_production_qemu_image.img", "coreos_production_boot.img",
		"coreos_production_usr.img", "coreos_production_image.spdx.json", "version.txt", "bootengine",
	} {
		if out, err := exec.Command("cmp", t.Env.ImageFile(name), filepath.Join(again, "images", name)).CombinedOutput(); err != nil {
			t.Errorf("%s differs: %s", name, out)
		}
	}
	t.Must(os.RemoveAll(again))
}
