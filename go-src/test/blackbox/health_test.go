package blackbox

import (
	"fmt"
	"time"

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
	wait := fmt.Sprintf("timeout %d sh -c 'until journalctl --quiet --unit slot-health.service | grep -q %%q; do sleep 0.2; done'", t.Seconds(120))
	t.Run(m, fmt.Sprintf(wait, "health check 50-late failed"))
	t.Run(m, fmt.Sprintf(wait, "the health checks run again in"))
	t.Equal("reason, meanwhile", slots(t, m)["A"].Why, "unhealthy:50-late")
	t.Equal("the unit", t.Run(m, "systemctl show --property=ActiveState --value slot-health.service"), "activating")
	t.Run(m, "touch /opt/ready && systemctl start slot-health.service")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	t.Equal("reason, at last", slots(t, m)["A"].Why, "")
}
