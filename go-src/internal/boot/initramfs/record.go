package initramfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"coreos/internal/boot/slot"
)

// linksRule is the rule of udev for the partitions of the boot disk.
const linksRule = "/run/udev/rules.d/10-coreos-boot-disk.rules"

// record tells the running system, below root, from which slot and disk it was booted. In
// /dev/disk/by-* the names of the boot disk's partitions, which copies of the disk have,
// too, lead to the boot disk.
func (e *engine) record(root string) error {
	rule := "# By bootengine: names that copies of the boot disk have, too, lead to the boot disk.\n" +
		fmt.Sprintf("SUBSYSTEM==\"block\", KERNELS==\"%s\", OPTIONS+=\"link_priority=100\"\n", e.disk.Name)
	return errors.Join(
		writeBelow(root, slot.BootRecord, fmt.Sprintf("SLOT=%s\nDISK=%s\n", e.args.Slot, e.disk.Name)),
		writeBelow(root, linksRule, rule),
	)
}

func writeBelow(root, path, text string) error {
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
