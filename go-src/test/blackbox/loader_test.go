package blackbox

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "chain-old-loader", Needs: signedSlots, Machines: 1, Limit: 5 * time.Minute,
		Does: "with a GRUB that passes on whatever the firmware adds to the kernel command line, the system does not see what it may not add",
		Run: func(t *suite.T) {
			disk := t.Disk("disk")
			writeLoader(t, disk, func(config string) string {
				return strings.Replace(config, "coreos.slot=$slot $bootdisk $outside $dropped", "coreos.slot=$slot $from_smbios", 1)
			})
			env := maps.Clone(hostileEnv)
			env["A_OK"] = "1"
			setEnv(t, disk, env)
			m := t.Start(machine.Config{Disk: disk, Cmdline: hostileArguments})
			healthy(t, m)
			wantFiltered(t, m)
		},
	})
	for _, firmware := range []machine.Firmware{machine.BIOS, machine.UEFI} {
		suite.Register(suite.Test{
			Suite: suite.Smoke, Name: "loader-update-" + string(firmware), Needs: signedSlots, Machines: 1, Limit: 8 * time.Minute,
			Does: "slotctl replaces the boot loader by that of the release, if the slot is proven, and the machine starts with it",
			Run:  func(t *suite.T) { updateLoader(t, firmware) },
		})
	}
}

func updateLoader(t *suite.T, firmware machine.Firmware) {
	const another = "another-loader" // one word: two consoles show each word twice
	disk := t.Disk("disk")
	writeLoader(t, disk, func(config string) string {
		return strings.Replace(config, "function boot_order {\n", "function boot_order {\n\techo "+another+"\n", 1)
	})
	setEnv(t, disk, map[string]string{"A_OK": "1"})
	m := t.Start(machine.Config{Disk: disk, Firmware: firmware})
	t.Shows(m, another)
	healthy(t, m)
	t.Equal("the loaders before", t.Run(m, "slotctl loader"), "BIOS  of another release\nUEFI  of another release")
	t.Run(m, "slotctl bad A")
	if out := t.Fails(m, "slotctl loader update 2>&1"); !strings.Contains(out, "not proven") {
		t.Errorf("on a slot that is not proven: %s", out)
	}
	t.Run(m, "slotctl good A")
	t.Equal("update", t.Run(m, "slotctl loader update"), "installed the loader for BIOS\ninstalled the loader for UEFI")
	t.Equal("update again", t.Run(m, "slotctl loader update"), "")
	t.Equal("the loaders after", t.Run(m, "slotctl loader"), "BIOS  of the running release\nUEFI  of the running release")
	poweroff(t, m)
	m = again(t, m)
	t.Shows(m, "CoreOS [^,]*, slot A")
	if strings.Contains(m.Console.Text(0), another) {
		t.Error("the machine starts with the loader of another release")
	}
	healthy(t, m)
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
}

// hostileArguments are a kernel command line as the firmware may hand it over: what is on the
// list, what would give a root shell or weaken the system if it got through, and what tries to
// look like an option of GRUB's or a pattern of files. Of what the kernel itself acts on it has
// only what does not hinder the boot.
const hostileArguments = "systemd.hostname=by-firmware systemd.debug_shell debug_shell --set=1:slot_cmdline init=/bin/sh * " +
	"systemd.unit=rescue.target usrhash=00 coreos.usrblocks=1 coreos.slot=B SYSTEMD_PROC_CMDLINE=rescue LD_PRELOAD=/evil.so " +
	"coreos.autologin=ttyS7 systemd.mask=slot-health.service"

// hostileEnv are variables of grubenv with the names of those that GRUB's configuration uses.
// Whoever is root can write them.
var hostileEnv = map[string]string{
	"outside": "systemd.debug_shell", "dropped": "systemd.debug_shell", "console_extra": "systemd.debug_shell",
	"slot_cmdline": "init=/bin/sh", "from_smbios": "rescue", "check_signatures": "no", "superusers": "me", "A_WHY": "$(init=/bin/sh)", "STAMP": "x init=/bin/sh",
}

// wantFiltered checks the command line, and what followed from it, on a machine that was
// started with hostileArguments.
func wantFiltered(t *suite.T, m *machine.Machine) {
	t.Helper()
	added := strings.Fields(t.Run(m, "sed 's/.* coreos[.]slot=//' /proc/cmdline"))
	added = slices.DeleteFunc(added, func(word string) bool {
		return strings.HasPrefix(word, "coreos.dropped=") || strings.HasPrefix(word, "coreos.bootdisk=") // GRUB's
	})
	t.Equal("what the firmware has added to the command line", strings.Join(added, " "), "A systemd.hostname=by-firmware coreos.autologin=ttyS7")
	t.Equal("the hostname", t.Run(m, "hostname"), "by-firmware")
	t.Equal("shells for debugging", t.Run(m, "systemctl is-active debug-shell.service || true"), "inactive")
	t.Equal("the environment of systemd", t.Run(m, "tr '\\0' '\\n' </proc/1/environ | grep -E 'LD_PRELOAD|PROC_CMDLINE' || true"), "")
	log := t.Run(m, "journalctl -b -t bootengine --no-pager | grep 'left out of the kernel command line'")
	for _, name := range []string{"systemd.debug_shell", "debug_shell", "init", "systemd.unit", "usrhash", "coreos.slot", "LD_PRELOAD", "systemd.mask"} {
		if !strings.Contains(log+" ", " "+name+" ") {
			t.Errorf("the journal does not name %s:\n%s", name, log)
		}
	}
}

// writeLoader gives a disk the GRUB of the tree with a changed configuration, and a new
// environment block.
func writeLoader(t *suite.T, disk *machine.Disk, change func(config string) string) {
	t.Helper()
	work, err := os.MkdirTemp(t.Dir, "loader")
	t.Must(err)
	board := filepath.Join(work, "board")
	t.Must(os.CopyFS(board, os.DirFS(filepath.Join(t.Env.Top, "board/coreos"))))
	path := filepath.Join(board, "grub.cfg")
	config, err := os.ReadFile(path)
	t.Must(err)
	changed := change(string(config))
	if changed == string(config) {
		t.Fatal("the configuration of GRUB does not have what the test changes")
	}
	t.Must(os.WriteFile(path, []byte(changed), 0o644))
	command := exec.CommandContext(t.Context, "bash", filepath.Join(board, "make-loader.sh"), work)
	command.Env = append(os.Environ(), "SIGNING_KEY_DIR="+keyDir(t), "SOURCE_DATE_EPOCH=1700000000", "HOST_DIR="+filepath.Join(t.Env.Output, "host"))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, disk, "BIOS-BOOT", filepath.Join(work, "core.img"))
	write(t, disk, "EFI-SYSTEM", filepath.Join(work, "efi-system.img"))
}
