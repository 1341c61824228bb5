package blackbox

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/bootkey"
	"coreos/internal/boot/slot"
	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "chain-mixed", Needs: append(slices.Clip(suite.Slots), suite.SigningKey), Machines: 1, Limit: 6 * time.Minute,
		Does: "GRUB boots no slot whose files, all with good signatures, are not of one release",
		Run:  mixedFiles,
	})
	registerFault("chain-mixed-config", "a slot.cfg of a release without sums, with a good signature: the initramfs refuses it", 6*time.Minute, fault{
		damage:  configFromBefore,
		console: "bootengine: the command line is not that of ",
		why:     "boot-mixed",
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "chain-old-loader", Needs: append(slices.Clip(suite.Slots), suite.SigningKey), Machines: 1, Limit: 5 * time.Minute,
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
}

func init() {
	for _, firmware := range []machine.Firmware{machine.BIOS, machine.UEFI} {
		suite.Register(suite.Test{
			Suite: suite.Smoke, Name: "loader-update-" + string(firmware), Needs: append(slices.Clip(suite.Slots), suite.SigningKey), Machines: 1, Limit: 8 * time.Minute,
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

// mixedFiles puts files of another release, signed with the same key, into slot A.
func mixedFiles(t *suite.T) {
	ours := unpackBoot(t, t.Env.ImageFile("coreos_production_boot.img"))
	other := maps.Clone(ours)
	other[bootimage.Config] = append(bytes.Clone(ours[bootimage.Config]), "# of another release\n"...)
	other[bootimage.Kernel] = append(bytes.Clone(ours[bootimage.Kernel]), make([]byte, 512)...)
	other[bootimage.Initramfs] = append(bytes.Clone(ours[bootimage.Initramfs]), make([]byte, 512)...)
	other[bootimage.Sums] = sumsOf(other)
	for _, c := range []struct {
		of   []string // members of the other release; "" leaves out the sums
		want string
	}{
		{nil, "CoreOS [^,]*, slot A"},
		{[]string{bootimage.Kernel}, "Slot A cannot be booted: its files are not of one release"},
		{[]string{bootimage.Initramfs}, "Slot A cannot be booted: its files are not of one release"},
		{[]string{bootimage.Config}, "Slot A cannot be booted: its files are not of one release"},
		{[]string{bootimage.Sums}, "Slot A cannot be booted: its files are not of one release"},
		{[]string{""}, "Slot A cannot be booted: its files are not of one release"},
		{[]string{bootimage.Config, bootimage.Sums, bootimage.Kernel, bootimage.Initramfs}, "CoreOS [^,]*, slot A"}, // an old release as a whole
	} {
		members := maps.Clone(ours)
		name := "ours"
		for _, member := range c.of {
			name += "-" + member
			if member == "" {
				delete(members, bootimage.Sums)
			} else {
				members[member] = other[member]
			}
		}
		disk := t.Disk(name)
		writeBoot(t, disk, slot.A, members)
		m := t.Start(machine.Config{Name: name, Disk: disk})
		line, err := m.Console.Wait(t.Context, `CoreOS [^,]*, slot A|Slot A cannot be booted: its [^\r\n.]*\.`)
		t.Must(err)
		m.Cut()
		if !regexp.MustCompile(c.want).MatchString(line) {
			t.Errorf("%s: GRUB says %q, want %q", name, line, c.want)
		}
	}
}

// configFromBefore gives slot A the slot.cfg of a release from before the sums, whose command
// line is another.
func configFromBefore(t *suite.T, disk *machine.Disk) {
	t.Helper()
	members := unpackBoot(t, t.Env.ImageFile("coreos_production_boot.img"))
	config := strings.Replace(string(members[bootimage.Config]), "slot_sums=", "other=", 1)
	members[bootimage.Config] = []byte(strings.Replace(config, "panic=", "panic_on_warn=0 panic=", 1))
	writeBoot(t, disk, slot.A, members)
}

// sumsOf is the slot.sums of a boot image.
func sumsOf(members map[string][]byte) []byte {
	var text bytes.Buffer
	for _, name := range []string{bootimage.Config, bootimage.Kernel, bootimage.Initramfs} {
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(members[name]), name)
	}
	return text.Bytes()
}

// writeBoot fills the boot partition of a slot with those members, signed with the build's
// key.
func writeBoot(t *suite.T, disk *machine.Disk, name slot.Name, members map[string][]byte) {
	t.Helper()
	work, err := os.MkdirTemp(t.Dir, "boot")
	t.Must(err)
	key, err := bootkey.Load(keyDir(t))
	t.Must(err)
	var image bytes.Buffer
	archive := tar.NewWriter(&image)
	add := func(name string, data []byte) {
		t.Must(archive.WriteHeader(&tar.Header{Format: tar.FormatUSTAR, Name: name, Mode: 0o644, Size: int64(len(data))}))
		_, err := archive.Write(data)
		t.Must(err)
	}
	for _, member := range []string{bootimage.Config, bootimage.Sums, bootimage.Kernel, bootimage.Initramfs} {
		data, ok := members[member]
		if !ok {
			continue
		}
		path := filepath.Join(work, member)
		t.Must(os.WriteFile(path, data, 0o644))
		t.Must(bootkey.Sign(key, path, time.Now()))
		signature, err := os.ReadFile(path + ".sig")
		t.Must(err)
		add(member+".sig", signature)
		add(member, data)
	}
	t.Must(archive.Close())
	t.Must(os.RemoveAll(work))
	extent, err := disk.Partition(name.BootLabel())
	t.Must(err)
	t.Must(disk.Write(extent.Offset, image.Bytes()))
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
