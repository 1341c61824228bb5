package cmdline

import (
	"regexp"
	"slices"
	"strings"
)

// The arguments that the firmware or the hypervisor may add to the command line, by the OEM
// string coreos.cmdline= of the SMBIOS. All others are left out: those that start another
// program as root (init=, systemd.unit=, systemd.debug_shell), switch off what protects the
// system (lsm=, lockdown=, mitigations=off, parameters of modules), or say what /usr is.
// docs/login.md lists them for the operator. board/coreos/grub.cfg has the same lists.
var (
	// outsideWords have no value.
	outsideWords = []string{"coreos.autologin", "debug", "ignore_loglevel", "nomodeset", "nosmt", "quiet"}
	// outsideNames have a value of the characters in outsideValue.
	outsideNames = []string{
		// what is shown where
		"console", "coreos.autologin", "earlycon", "earlyprintk", "loglevel", "printk.devkmsg",
		"systemd.journald.forward_to_console", "systemd.journald.max_level_console", "systemd.log_color", "systemd.log_level",
		"systemd.log_location", "systemd.log_target", "systemd.log_time", "systemd.show_status", "udev.log_level", "vconsole.keymap",
		// what the machine is, and where its config comes from
		"cloud-config-url", "cloud_config_url", "coreos.oem.id", "ignition.config.url", "ignition.firstboot",
		"ignition.platform.id", "systemd.hostname", "systemd.machine_id",
		// network
		"ifname", "ip", "nameserver", "net.ifname_policy", "net.ifnames", "net.naming_scheme", "rd.route",
		// processors and memory
		"clocksource", "default_hugepagesz", "hugepages", "hugepagesz", "isolcpus", "nohz_full", "rcu_nocbs",
		"transparent_hugepage", "tsc",
	}
)

// outsideValue is a regular expression for a value. It lacks spaces of any kind, quotes and
// backslashes: GRUB, the kernel and systemd do not agree on where such an argument ends.
const outsideValue = `[a-zA-Z0-9_.,:;/=@%+?&~-]*`

var outside = regexp.MustCompile(`^((` + alternatives(outsideWords) + `)|(` + alternatives(outsideNames) + `)=` + outsideValue + `)$`)

// alternatives returns a regular expression for the words, as POSIX has them.
func alternatives(words []string) string {
	var quoted []string
	for _, word := range words {
		quoted = append(quoted, regexp.QuoteMeta(word))
	}
	return strings.Join(quoted, "|")
}

// Arguments that GRUB adds.
const (
	slotName = "coreos.slot="     // ends the signed part
	bootDisk = "coreos.bootdisk=" // follows it; the stamp of the disk
	dropped  = "coreos.dropped="  // names what GRUB has left out, separated by commas
)

// Signed returns the arguments of a command line that are signed with the slot: those between
// the name of the kernel's file and the name of the slot, which GRUB adds.
func Signed(cmdline string) []string {
	words := strings.Fields(cmdline)
	if len(words) > 0 && strings.HasPrefix(words[0], "BOOT_IMAGE=") {
		words = words[1:]
	}
	signed, _ := split(words)
	return signed
}

func split(words []string) (signed, added []string) {
	n := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, slotName) })
	if n < 0 {
		return words, nil
	}
	return words[:n], words[n:]
}

// Filter returns a command line without those arguments from outside that are not on the
// list, and the names of what was left out, here or by GRUB. A GRUB from before this rule
// passes everything on.
func Filter(cmdline string) (filtered string, refused []string) {
	signed, added := split(strings.Fields(cmdline))
	kept := slices.Clone(signed)
	for n, word := range added {
		names, byGRUB := strings.CutPrefix(word, dropped)
		switch {
		case byGRUB:
			refused = append(refused, strings.Split(names, ",")...)
			kept = append(kept, word)
		case n == 0, n == 1 && strings.HasPrefix(word, bootDisk), outside.MatchString(word):
			kept = append(kept, word)
		default:
			name, _, _ := strings.Cut(word, "=")
			refused = append(refused, name)
		}
	}
	return strings.Join(kept, " "), refused
}
