package initramfs

import (
	"errors"
	"strings"
	"testing"
)

// TestReleaseCheck mixes the files of two releases.
func TestReleaseCheck(t *testing.T) {
	const (
		signed  = "console=tty0 memmap=256K$256M usrhash=abc coreos.usrblocks=7"
		version = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.118-1 (2026-11-20)"
		grub    = "BOOT_IMAGE=(hd0,gpt3)/vmlinuz "
	)
	ours := release{
		config: "set slot_version=\"2\"\nset slot_cmdline=\"console=tty0 memmap=256K\\$256M usrhash=abc coreos.usrblocks=7\"\nset slot_sums=\"1\"\n",
		kernel: "6.12.118+deb13 (debian-kernel@lists.debian.org) " + version,
	}
	tests := []struct{ name, line, release, version, want string }{
		{"by GRUB", grub + signed + " coreos.slot=A", "6.12.118+deb13", version, ""},
		{"by kexec", signed + " coreos.slot=B quiet", "6.12.118+deb13", version, ""},
		{"more spaces", grub + strings.ReplaceAll(signed, " ", "  ") + " coreos.slot=A\n", "6.12.118+deb13", version, ""},
		{"another /usr", grub + strings.Replace(signed, "abc", "abd", 1) + " coreos.slot=A", "6.12.118+deb13", version, "the command line is not that of 2"},
		{"without an argument", grub + strings.TrimPrefix(signed, "console=tty0 ") + " coreos.slot=A", "6.12.118+deb13", version, "the command line"},
		{"one more", grub + "init=/x " + signed + " coreos.slot=A", "6.12.118+deb13", version, "the command line"},
		{"two more files of kernels", grub + grub + signed + " coreos.slot=A", "6.12.118+deb13", version, "the command line"},
		{"another kernel", grub + signed + " coreos.slot=A", "6.12.117+deb13", version, "was made for the kernel 6.12.118"},
		{"the beginning of its name", grub + signed + " coreos.slot=A", "6.12.118", version, "was made for the kernel"},
		{"another build of the kernel", grub + signed + " coreos.slot=A", "6.12.118+deb13", strings.Replace(version, "118-1", "118-2", 1), "was made for the kernel"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := ours.check(test.line, test.release, test.version)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var blame *slotError
			if !errors.As(err, &blame) || blame.why != "boot-mixed" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want boot-mixed with %q", err, test.want)
			}
		})
	}
	if err := (release{config: "", kernel: ours.kernel}).check(signed, "", ""); err == nil || errors.As(err, new(*slotError)) {
		t.Errorf("an initramfs without slot.cfg: %v", err)
	}
}
