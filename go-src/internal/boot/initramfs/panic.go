package initramfs

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/kmod"
	"coreos/internal/boot/pstore"
)

// If the firmware keeps no variables, ramoops keeps four records of a panic in the memory
// that crashMemory, on the kernel command line, reserves. Neither GRUB, which fills memory
// from the top, nor a kernel at a random address uses that range.
const (
	crashMemory = "memmap=256K$256M"
	ramoops     = "mem_address=0x10000000 mem_size=0x40000 record_size=65536 console_size=0 ftrace_size=0 pmsg_size=0"
)

// findPanic sets up that a panic during this boot is recorded, in the firmware's variables
// or in memory that survives a restart. It returns the message of a panic before this boot,
// "" if there was none. systemd-pstore saves the whole record.
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
