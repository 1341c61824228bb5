package blackbox

import (
	"encoding/json"
	"errors"
	"strings"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/slot"
	"coreos/test/machine"
	"coreos/test/suite"
)

// slotState is a slot in the output of slotctl.
type slotState struct {
	Tries int
	OK    bool
}

// healthy waits until the machine has decided that it is healthy and its slot good.
func healthy(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Must(m.WaitSSH(t.Context))
	// If there is a start job, the command waits for it. If the unit has started, it does nothing.
	t.Run(m, "systemctl start slot-health.service")
}

// reboot restarts the machine in an orderly way and waits until it is back.
func reboot(t *suite.T, m *machine.Machine) {
	t.Helper()
	before := t.Run(m, "cat /proc/sys/kernel/random/boot_id")
	t.Must(m.Reboot(t.Context))
	healthy(t, m)
	if after := t.Run(m, "cat /proc/sys/kernel/random/boot_id"); after == before {
		t.Fatal("the machine did not restart")
	}
}

// poweroff presses the power button and waits until the machine is off. The machine completes the
// starts that it has begun before.
func poweroff(t *suite.T, m *machine.Machine) {
	t.Helper()
	m.Disconnect()
	t.Must(m.PowerButton())
	t.Must(m.WaitOff(t.Context))
}

// slots returns slotctl's reports by slot.
func slots(t *suite.T, m *machine.Machine) map[string]slot.Report {
	t.Helper()
	var reports []slot.Report
	t.Must(json.Unmarshal([]byte(t.Run(m, "slotctl status --json")), &reports))
	bySlot := map[string]slot.Report{}
	for _, r := range reports {
		bySlot[string(r.Slot)] = r
	}
	return bySlot
}

// wantSlots checks which slot runs and its state.
func wantSlots(t *suite.T, m *machine.Machine, running string, want slotState) {
	t.Helper()
	report := slots(t, m)[running]
	if !report.Running {
		t.Fatalf("slot %s does not run: %s", running, t.Run(m, "slotctl status"))
	}
	if got := (slotState{report.Tries, report.OK}); got != want {
		t.Errorf("slot %s: got %+v, want %+v", running, got, want)
	}
}

// proven makes a disk whose slot A was found healthy before, so that its boots do not check the
// container runtime again.
func proven(t *suite.T) *machine.Disk {
	t.Helper()
	disk := t.Disk("disk")
	setEnv(t, disk, map[string]string{"A_OK": "1"})
	return disk
}

// twoSlots makes a disk with the image's system in both slots, both proven.
func twoSlots(t *suite.T) *machine.Disk {
	t.Helper()
	return t.DiskFrom("two-slots", bothSlots(t), "disk")
}

func bothSlots(t *suite.T) func(*machine.Disk) {
	return func(disk *machine.Disk) {
		write(t, disk, slot.B.BootLabel(), t.Env.ImageFile("coreos_production_boot.img"))
		write(t, disk, slot.B.UsrLabel(), t.Env.ImageFile("coreos_production_usr.img"))
		setEnv(t, disk, map[string]string{"A_OK": "1", "B_TRIES": "3", "B_OK": "1", "B_WHY": ""})
	}
}

// boot switches a new machine on, whose slots are both good.
func boot(t *suite.T, config machine.Config) *machine.Machine {
	t.Helper()
	if config.Name == "" {
		config.Name = "machine"
	}
	if t.Native() {
		config.Root = t.Root(config.Name)
	} else {
		config.Disk = t.DiskFrom("two-slots", bothSlots(t), config.Name)
	}
	return t.Start(config)
}

// again switches a machine on whose power was cut.
func again(t *suite.T, m *machine.Machine) *machine.Machine {
	t.Helper()
	config := m.Config
	config.Name += "-again"
	return t.Start(config)
}

// running returns a healthy machine that runs slot A of two good ones: in QEMU a saved one.
func running(t *suite.T) *machine.Machine {
	t.Helper()
	if t.Native() {
		m := boot(t, machine.Config{})
		healthy(t, m)
		return m
	}
	return t.Restore("two-slots", func() *machine.Disk { return twoSlots(t) }, func(m *machine.Machine) { healthy(t, m) })
}

// envOffset finds the environment block on a disk.
func envOffset(t *suite.T, disk *machine.Disk) int64 {
	t.Helper()
	extent, err := disk.Partition("EFI-SYSTEM")
	t.Must(err)
	data, err := disk.Read(extent.Offset, 4<<20)
	t.Must(err)
	offset, err := grubenv.Locate(strings.NewReader(string(data)))
	t.Must(err)
	return extent.Offset + offset
}

// readEnv reads the environment block of a machine that is off.
func readEnv(t *suite.T, disk *machine.Disk) grubenv.Env {
	t.Helper()
	block, err := disk.Read(envOffset(t, disk), grubenv.Size)
	t.Must(err)
	env, err := grubenv.Parse(block)
	t.Must(err)
	return env
}

// store is the environment block of a machine that is off, as package slot wants it.
type store struct {
	t    *suite.T
	disk *machine.Disk
}

func (s store) Read() (grubenv.Env, error) { return readEnv(s.t, s.disk), nil }

func (s store) Write(grubenv.Env) error { return errors.ErrUnsupported }

// setEnv changes variables of the environment block of a machine that is off.
func setEnv(t *suite.T, disk *machine.Disk, values map[string]string) {
	t.Helper()
	env := readEnv(t, disk)
	for name, value := range values {
		env[name] = value
	}
	block, err := env.Format()
	t.Must(err)
	t.Must(disk.Write(envOffset(t, disk), block))
}
