package blackbox

import (
	"fmt"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "health-again", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "a slot on trial that has nowhere to go back to is proven when its checks pass, late as they may",
		Run:  healthAgain,
	})
}

func healthAgain(t *suite.T) {
	m := running(t)
	t.Run(m, `set -e
		printf '#!/bin/sh\n[ -e /opt/ready ]\n' >/etc/coreos/health.d/50-late
		chmod +x /etc/coreos/health.d/50-late
		slotctl bad A --why test
		slotctl bad B --why test
		systemctl restart --no-block slot-health.service`)
	healthSays(t, m, 120, "health check 50-late failed")
	healthSays(t, m, 120, "the health checks run again in")
	t.Equal("reason, meanwhile", slots(t, m)["A"].Why, "unhealthy:50-late")
	t.Equal("the unit", t.Run(m, "systemctl show --property=ActiveState --value slot-health.service"), "activating")
	t.Run(m, "touch /opt/ready && systemctl start slot-health.service")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	t.Equal("reason, at last", slots(t, m)["A"].Why, "")
}

// healthSays waits until the journal of this boot has a message of slot-health.service, for some
// seconds at most.
func healthSays(t *suite.T, m *machine.Machine, seconds int, message string) {
	t.Helper()
	t.Run(m, fmt.Sprintf("timeout %d sh -c 'until journalctl -b -q -u slot-health.service | grep -qF %q; do sleep 0.2; done'", t.Seconds(seconds), message))
}

// onTrial puts slot A, which runs, on trial, and waits until one of its checks has failed with a message.
func onTrial(t *suite.T, m *machine.Machine, message string) {
	t.Helper()
	t.Run(m, "systemctl stop slot-health.service; slotctl bad A --why test && systemctl start --no-block slot-health.service")
	healthSays(t, m, 150, message)
}

// rebootUnhealthy restarts a machine, which then need not be healthy, and waits for its checks.
func rebootUnhealthy(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Must(m.Reboot(t.Context))
	t.Must(m.WaitSSH(t.Context))
	t.Run(m, "systemctl start slot-health.service || true")
}

// wantNoneFailed checks that no unit has failed.
func wantNoneFailed(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Equal("failed units", t.Run(m, "systemctl list-units --state=failed --plain --no-legend"), "")
}
