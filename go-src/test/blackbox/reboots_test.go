package blackbox

import (
	"fmt"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "reboots", Native: true, Needs: suite.Host, Machines: 1, Limit: 8 * time.Minute,
		Does: "locksmithd and update-engine have no rights; locksmithd hears root alone, waits for inhibitors, and has root run hooks and restart the machine",
		Run:  reboots,
	})
}

// wantLocksmith waits until the status of locksmithd has some words.
func wantLocksmith(t *suite.T, m *machine.Machine, words string) {
	t.Helper()
	t.Run(m, fmt.Sprintf(`timeout %d sh -c 'until systemctl status locksmithd | grep -qF "%s"; do sleep 0.5; done' || { systemctl status locksmithd; exit 1; }`, t.Seconds(150), words))
}

func reboots(t *suite.T) {
	m := running(t)
	wantLocksmith(t, m, "no restart is needed")
	wantConfined(t, m, "locksmithd", "/run/coreos/update-engine.sock", "/run/docker.sock", "/run/fleet.sock")
	wantConfined(t, m, "update-engine", "/run/coreos/locksmithd.sock", "/run/docker.sock", "/run/fleet.sock")
	wantStateShared(t, m)
	wantKeysCopied(t, m)
	wantLocksmith(t, m, "no restart is needed")
	t.Run(m, "setpriv --reuid=core --regid=core --init-groups busctl emit /com/coreos/update1 com.coreos.update1.Manager StatusUpdate xdssx 0 0 UPDATE_STATUS_UPDATED_NEED_REBOOT '' 0")

	// The hook writes where the daemon cannot.
	t.Run(m, `cat >/etc/coreos/pre-reboot.d/10-shop <<'END'
#!/bin/sh
echo "$1" >>/opt/hooks
[ -e /opt/drained ] || { echo customers are there; exit 3; }
END
chmod 755 /etc/coreos/pre-reboot.d/10-shop`)
	t.Run(m, "systemd-run --quiet --unit=backup systemd-inhibit --what=shutdown --who=backup --why='it runs' sleep infinity && until systemd-inhibit --list | grep -q backup; do sleep 0.2; done")
	t.Run(m, "locksmithctl send-need-reboot")
	wantLocksmith(t, m, "waiting for what inhibits a restart: backup (it runs)")
	t.Equal("hooks that ran for another user's signal, or in spite of the inhibitor", t.Run(m, "cat /opt/hooks 2>/dev/null || true"), "")
	t.Equal("state", t.Run(m, "grep STATE /run/update-engine/coordinator.conf"), "STATE=reboot-planned")

	t.Run(m, "systemctl stop backup")
	wantLocksmith(t, m, "no restart now: hook /etc/coreos/pre-reboot.d/10-shop: exit status 3: customers are there")
	t.Equal("hooks", t.Run(m, "cat /opt/hooks"), "reboot\ncancel")

	before := t.Run(m, "cat /proc/sys/kernel/random/boot_id")
	t.Run(m, "touch /opt/drained && sync && systemctl restart locksmithd && systemd-run --quiet --on-active=1s locksmithctl send-need-reboot")
	m.Restarts()
	healthy(t, m)
	if t.Run(m, "cat /proc/sys/kernel/random/boot_id") == before {
		t.Error("the machine did not restart")
	}
	t.Equal("hooks", t.Run(m, "cat /opt/hooks"), "reboot\ncancel\nreboot")
}
