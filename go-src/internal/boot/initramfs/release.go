package initramfs

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/cmdline"
)

// Files of the initramfs that say which release it belongs to.
const (
	releaseConfig = "/slot.cfg"       // a copy of the slot's
	releaseKernel = "/kernel-version" // of the kernel, as in its header
)

// release is what the initramfs was made for: the files of a slot are signed one by one, so
// that a boot loader may have put together those of several releases.
type release struct {
	config string // slot.cfg
	kernel string // version, such as "6.12.1 (builder@host) #1 SMP Mon Nov 2 2026"
}

func readRelease() (release, error) {
	config, err := os.ReadFile(releaseConfig)
	if err != nil {
		return release{}, err
	}
	kernel, err := os.ReadFile(releaseKernel)
	return release{string(config), strings.TrimSpace(string(kernel))}, err
}

// check reports whether the running kernel and its command line are of the same release as
// the initramfs.
func (r release) check(line, kernelRelease, kernelVersion string) error {
	info, err := bootimage.ReadConfig(strings.NewReader(r.config), int64(len(r.config)))
	if err != nil {
		return fmt.Errorf("%s of the initramfs: %w", bootimage.Config, err)
	}
	if !strings.HasPrefix(r.kernel, kernelRelease+" (") || !strings.HasSuffix(r.kernel, ") "+kernelVersion) {
		return &slotError{"boot-mixed", fmt.Errorf("the initramfs of %s was made for the kernel %s, not for %s %s", info.Version, r.kernel, kernelRelease, kernelVersion)}
	}
	if !slices.Equal(cmdline.Signed(line), strings.Fields(info.Cmdline)) {
		return &slotError{"boot-mixed", fmt.Errorf("the command line is not that of %s, whose initramfs this is", info.Version)}
	}
	return nil
}

// checkRelease is check for the running kernel.
func checkRelease(line string) error {
	r, err := readRelease()
	if err != nil {
		return err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	return r.check(line, text(name.Release[:]), text(name.Version[:]))
}

// text returns a field of uname(2), which ends with a zero byte.
func text(field []byte) string {
	field, _, _ = bytes.Cut(field, []byte{0})
	return string(field)
}
