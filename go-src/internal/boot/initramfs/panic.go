package initramfs

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/kmod"
	"coreos/internal/boot/pstore"
)

// Without firmware that keeps variables, ramoops keeps four records of a panic in the
// memory that crashMemory, on the kernel command line, sets aside: where GRUB, which
// fills memory from its top, and a kernel at a random address put nothing.
const (
	crashMemory = "memmap=256K$256M"
	ramoops     = "mem_address=0x10000000 mem_size=0x40000 record_size=65536 console_size=0 ftrace_size=0 pmsg_size=0"
)

// findPanic makes sure that a panic of this boot leaves a record, in the firmware's
// variables or else in memory that a restart leaves alone, and returns what the kernel
// said that panicked before this boot, "" if none did. systemd-pstore keeps the rest.
func (e *engine) findPanic(modules *kmod.Loader, cmdline string) string {
	if _, err := os.Stat(sysfs + "/firmware/efi/efivars"); err == nil {
		modules.Load("efi_pstore")
	} else if slices.Contains(strings.Fields(cmdline), crashMemory) {
		modules.LoadWith("ramoops", ramoops)
	}
	e.mountIfKnown(mount{"pstore", pstore.Dir, "pstore", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""})
	message, err := pstore.Panic(pstore.Dir)
	if err != nil {
		e.log.Warning("what the last kernel left behind: %v", err)
	}
	if message != "" {
		e.log.Warning("the kernel panicked before this boot: %s", message)
	}
	return message
}
