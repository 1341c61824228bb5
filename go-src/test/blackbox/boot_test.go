package blackbox

import (
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	// Most other tests are on BIOS and virtio.
	for _, c := range []struct {
		firmware machine.Firmware
		bus      machine.Bus
	}{
		{machine.UEFI, machine.NVMe},
		{machine.BIOS, machine.SATA},
	} {
		suite.Register(suite.Test{
			Name: "boot-" + string(c.firmware) + "-" + string(c.bus), Machines: 1, Limit: 5 * time.Minute,
			Does: "boots to Docker ready, nothing failed, the slot marked good",
			Run: func(t *suite.T) {
				m := t.Start(machine.Config{Disk: t.Disk("disk"), Firmware: c.firmware, Bus: c.bus})
				healthy(t, m)
				t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
				t.Equal("failed units", t.Run(m, "systemctl list-units --state=failed --plain --no-legend"), "")
				t.Run(m, "docker version")
				wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
				if out := t.Run(m, "ss -Hltn"); strings.Count(out, "\n") > 0 && !onlySSH(out) {
					t.Errorf("ports other than SSH's are open:\n%s", out)
				}
			},
		})
	}
}

// onlySSH reports whether no port is open to the network except 22.
func onlySSH(listening string) bool {
	for line := range strings.Lines(listening) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		address := fields[3]
		local := strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "[::1]")
		if !local && !strings.HasSuffix(address, ":22") {
			return false
		}
	}
	return true
}
