package blackbox

import (
	"bytes"
	"maps"
	"regexp"
	"strings"
	"time"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/slot"
	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "chain-mixed", Needs: signedSlots, Machines: 1, Limit: 6 * time.Minute,
		Does: "GRUB boots no slot whose files, all with good signatures, are not of one release",
		Run:  mixedFiles,
	})
	registerFault("chain-mixed-config", "a slot.cfg of a release without sums, with a good signature: the initramfs refuses it", 6*time.Minute, fault{
		damage:  configFromBefore,
		signs:   true,
		console: "bootengine: the command line is not that of ",
		why:     "boot-mixed",
	})
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
