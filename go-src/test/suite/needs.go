package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Need is something besides the image that a test uses.
type Need string

// The needs. All but SigningKey are files of the image's build.
const (
	SigningKey Need = "SIGNING_KEY_DIR" // the key that the image was signed with
	Boot       Need = "images/coreos_production_boot.img"
	Usr        Need = "images/coreos_production_usr.img"
	RawImage   Need = "images/coreos_production_image.bin"
	Bundle     Need = "images/coreos_production_update.bundle"
	Kernel     Need = "images/bzImage"
	Initramfs  Need = "images/bootengine"
	BootKey    Need = "host/bin/bootkey"
	ConfigCtl  Need = "host/bin/configctl"
)

// Slots, Host and Build are the files that tests need to fill both slots, to make machines
// on the host's kernel, and to make releases.
var (
	Slots = []Need{Boot, Usr}
	Host  = []Need{Boot, Usr, RawImage}
	Build = []Need{Boot, Usr, SigningKey, Kernel, Initramfs, BootKey}
)

// path is where the need is: files of images lie beside the image.
func (n Need) path(env Env) string {
	switch dir, name := filepath.Split(string(n)); {
	case n == SigningKey:
		return os.Getenv(string(n))
	case dir == "images/":
		return env.ImageFile(name)
	default:
		return filepath.Join(env.Output, string(n))
	}
}

// missing returns the things that the tests need and that do not exist, each with the tests
// that need it.
func missing(env Env, chosen []Test) (lines []string) {
	of := map[Need][]string{}
	for _, test := range chosen {
		for _, need := range test.Needs {
			of[need] = append(of[need], test.Name)
		}
	}
	for need, names := range of {
		path := need.path(env)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s (%s), for %s", need, path, strings.Join(names, ", ")))
	}
	for _, tool := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(tool); err != nil {
			lines = append(lines, tool+": run make host-tools")
		}
	}
	slices.Sort(lines)
	return lines
}
