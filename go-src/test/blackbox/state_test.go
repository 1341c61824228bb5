package blackbox

import (
	"fmt"
	"os"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "usr-read-only", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "/usr cannot be written, nor mounted writable, nor can its device",
		Run:  usrReadOnly,
	})
	suite.Register(suite.Test{
		Name: "state", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "changes in /etc and /var survive a restart, being switched off and a power cut",
		Run:  state,
	})
	suite.Register(suite.Test{
		Name: "uptime", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "a machine that has been on for 1000 days is healthy, and restarts when it has to",
		Run:  uptime,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "state-survives", Needs: suite.Build, Machines: 1, Limit: 12 * time.Minute,
		Does: "changes in /etc and /var survive; an unchanged default follows the slot",
		Run:  stateSurvives,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "larger-disk", Needs: []suite.Need{suite.RawImage}, Machines: 1, Limit: 5 * time.Minute,
		Does: "ROOT fills a larger disk",
		Run:  largerDisk,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "small-disk", Needs: []suite.Need{suite.RawImage}, Machines: 1, Limit: 5 * time.Minute,
		Does: "an image on a disk that is too small says so on the console",
		Run:  smallDisk,
	})
}

func usrReadOnly(t *suite.T) {
	m := running(t)
	device := "/dev/dm-0"
	if t.Native() {
		device = "/dev/vda4" // there is no dm-verity
	}
	for _, command := range []string{
		"touch /usr/x",
		"touch /usr/bin/docker",
		"mount -o remount,rw /usr",
		"dd if=/dev/zero of=" + device + " bs=4096 count=1 conv=fsync",
		"blockdev --setrw " + device + " && dd if=/dev/zero of=" + device + " bs=4096 count=1 conv=fsync",
	} {
		t.Fails(m, command)
	}
	t.Equal("type of /usr", t.Run(m, "findmnt -no FSTYPE /usr"), "erofs")
	t.Equal("set-user-id files", t.Run(m, "find /usr -perm /6000 -type f"), "/usr/bin/sudo")
}

// change makes changes on a machine and returns a function that checks them.
func change(t *suite.T, m *machine.Machine) (check func(*machine.Machine)) {
	t.Run(m, "echo mine >/etc/mine && echo mine >/var/lib/mine && echo changed >>/etc/issue && rm /etc/shells && sync")
	const identity = "cat /etc/machine-id /etc/ssh/ssh_host_*.pub"
	before := t.Run(m, identity)
	return func(m *machine.Machine) {
		t.Helper()
		t.Equal("the changes", t.Run(m, "cat /etc/mine /var/lib/mine"), "mine\nmine")
		t.Equal("a changed file", t.Run(m, "tail -n 1 /etc/issue"), "changed")
		t.Fails(m, "test -e /etc/shells")
		t.Equal("machine id and host keys", t.Run(m, identity), before)
	}
}

func state(t *suite.T) {
	m := running(t)
	check := change(t, m)
	reboot(t, m)
	check(m)
	poweroff(t, m)
	m = again(t, m)
	healthy(t, m)
	check(m)
	m.Cut()
	m = again(t, m)
	healthy(t, m)
	check(m)
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
}

// uptime starts a machine whose monotonic clock says that it has been on for long. QEMU's
// starts at zero.
func uptime(t *suite.T) {
	if !t.Native() {
		t.Skip("only on the host's kernel")
	}
	const days = 1000
	m := boot(t, machine.Config{Uptime: days * 24 * time.Hour})
	healthy(t, m)
	t.Equal("days", t.Run(m, "echo $(($(cut -d. -f1 /proc/uptime) / 86400))"), fmt.Sprint(days))
	t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
	wantLocksmith(t, m, "no restart is needed")
	before := t.Run(m, "cat /proc/sys/kernel/random/boot_id")
	t.Run(m, "systemd-run --quiet --on-active=1s locksmithctl send-need-reboot")
	m.Restarts()
	healthy(t, m)
	if t.Run(m, "cat /proc/sys/kernel/random/boot_id") == before {
		t.Error("the machine did not restart")
	}
}

func stateSurvives(t *suite.T) {
	m := running(t)
	check := change(t, m)
	reboot(t, m)
	// The first boot has grown ROOT; the second finds nothing to do and a whole table.
	if out := t.Run(m, "dmesg"); strings.Contains(out, "GPT:") || strings.Contains(out, "grown by") {
		t.Errorf("the partition table is not settled:\n%s", out)
	}
	check(m)
	poweroff(t, m)
	disk := m.Config.Disk
	variant := newVariant(t)
	variant.append("usr/share/coreos/etc/profile", "# of the other slot\n")
	variant.append("usr/share/coreos/etc/issue", "of the other slot\n")
	variant.append("usr/share/coreos/etc/new-default", "new\n")
	variant.install(disk, "B", "9999.0.0")
	setEnv(t, disk, map[string]string{"ORDER": "B A", "B_TRIES": "3", "B_OK": "0", "B_WHY": ""})

	m = t.Start(machine.Config{Name: "after", Disk: disk})
	healthy(t, m)
	wantSlots(t, m, "B", slotState{Tries: 3, OK: true})
	t.Equal("version", t.Run(m, ". /etc/os-release && echo $VERSION_ID"), "9999.0.0")
	t.Equal("an unchanged default", t.Run(m, "tail -n 1 /etc/profile"), "# of the other slot")
	t.Equal("a new default", t.Run(m, "cat /etc/new-default"), "new")
	check(m)
}

func largerDisk(t *suite.T) {
	const gib = 1 << 30
	raw := t.Env.ImageFile("coreos_production_image.bin")
	info, err := os.Stat(raw)
	t.Must(err)
	disk, err := machine.NewDisk(t.Dir, "large", raw, info.Size()+20*gib)
	t.Must(err)
	m := t.Start(machine.Config{Disk: disk})
	t.Must(m.WaitSSH(t.Context))
	size := t.Run(m, "df --output=size -B1G / | tail -n1 | tr -d ' '")
	if size != "20" && size != "21" {
		t.Errorf("ROOT has %s GiB on a disk with 20 GiB more than the image", size)
	}
	t.Equal("label of ROOT in sysfs", t.Run(m, "sed -n s/PARTNAME=//p /sys/class/block/vda8/uevent"), "ROOT")
}

func smallDisk(t *suite.T) {
	const gib = 1 << 30
	disk, err := machine.NewDisk(t.Dir, "small", t.Env.ImageFile("coreos_production_image.bin"), 3*gib)
	t.Must(err)
	m := t.Start(machine.Config{Disk: disk})
	t.Shows(m, `disk vda has 3072 MiB, but the image written to it needs \d+ MiB: write it to a larger disk`)
}
