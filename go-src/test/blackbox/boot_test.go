package blackbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	// Most other tests are on BIOS and virtio.
	for _, c := range []struct {
		in       suite.Suite
		firmware machine.Firmware
		bus      machine.Bus
	}{
		{suite.Change, machine.UEFI, machine.NVMe},
		{suite.Smoke, machine.BIOS, machine.SATA},
	} {
		suite.Register(suite.Test{
			Suite: c.in, Name: "boot-" + string(c.firmware) + "-" + string(c.bus), Machines: 1, Limit: 5 * time.Minute,
			Does: "boots to Docker ready, nothing failed, the slot marked good",
			Run: func(t *suite.T) {
				m := t.Start(machine.Config{Disk: t.Disk("disk"), Firmware: c.firmware, Bus: c.bus})
				healthy(t, m)
				t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
				exposes(t, m)
				wantNoneFailed(t, m)
				t.Run(m, "docker version")
				wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
				t.Equal("modes of device nodes whose modules are not loaded", t.Run(m, "stat -c '%n %A' /dev/fuse /dev/net/tun /dev/vhost-net"),
					"/dev/fuse crw-rw-rw-\n/dev/net/tun crw-rw-rw-\n/dev/vhost-net crw-rw----")
				parameters(t, m)
				hardened(t, m)
				ringZero(t, m)
				if c.firmware == machine.UEFI {
					t.Equal("the firmware's variables", t.Run(m, "findmnt -no FSTYPE /sys/firmware/efi/efivars"), "efivarfs")
				}
			},
		})
	}
}

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "console", Machines: 1, Limit: 5 * time.Minute,
		Does: "Escape shows the boot menu, whose last entry gives a root shell on the console in the dev flavour only; a password does so, too; the shell learns the terminal's size at each login",
		Run: func(t *suite.T) {
			config, last := machine.Config{Disk: t.Disk("disk")}, `CoreOS, root shell`
			if !shellInMenu(t) {
				config.Cmdline, last = "coreos.autologin", `CoreOS, slot B`
			}
			m := t.Start(config)
			t.Shows(m, `\x1b\[H\x1b\[J`) // GRUB clears the screen
			t.Must(m.Type("\x1b"))
			t.Shows(m, last)
			const end, enter = "\x05", "\r"
			t.Must(m.Type(end + enter))
			if !shellInMenu(t) {
				t.Shows(m, "Slot B cannot be booted") // which is empty: that entry was the last
			}

			// The first shell gets no more input. While the machine starts, other programs write to
			// the console.
			healthy(t, m)
			t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
			mark := m.Console.Mark()
			t.Must(m.Type("id -un; stty size; exit\n"))
			t.ShowsAfter(m, mark, `root\r\n24 80\r\n`)

			mark = login(t, m, mark, "\x1b[40;132R")
			t.Must(m.Type("stty size; exit\n"))
			t.ShowsAfter(m, mark, `40 132\r\n`)

			mark = login(t, m, mark, "\x1b[50;90R")
			t.Must(m.Type("stty size\n"))
			t.ShowsAfter(m, mark, `50 90\r\n`)

			// What the menu of a release leaves to an operator without a network.
			t.Run(m, "usermod --password $(openssl passwd -6 sesame) core")
			mark = m.Console.Mark()
			// login hangs up the terminal, and the shell that it came from would end.
			t.Must(m.Type("exec login core\n"))
			t.ShowsAfter(m, mark, `Password: `)
			t.Must(m.Type("sesame\n"))
			t.ShowsAfter(m, mark, `core@\S+ ~ \$ `)
			mark = m.Console.Mark()
			t.Must(m.Type("id -un\n"))
			t.ShowsAfter(m, mark, `core\r\n`)
		},
	})
}

// shellInMenu reports whether the boot menu of the image has an entry with a root shell.
func shellInMenu(t *suite.T) bool {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(t.Env.Output, ".config"))
	t.Must(err)
	return slices.Contains(strings.Split(string(config), "\n"), "BR2_COREOS_MENU_ROOT_SHELL=y")
}

// login answers the login shell's question for the size of the terminal, waits for the shell's
// prompt, and returns the position after it.
func login(t *suite.T, m *machine.Machine, mark int, answer string) int {
	t.Helper()
	t.ShowsAfter(m, mark, `\x1b\[999;999H\x1b\[6n`)
	t.Must(m.Type(answer))
	t.ShowsAfter(m, mark, `root@.* # `)
	return m.Console.Mark()
}
