package blackbox

import (
	"fmt"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	for _, test := range []struct {
		name, does string
		run        func(*suite.T)
	}{
		{"read-only", "/var is read-only at the boot: people log in, it is said, the slot is not judged by it; SSH host keys that cannot be saved are in memory", readOnly},
		{"journal-damaged", "files of the journal are damaged: the others stay readable, new ones are written", journalDamaged},
		{"units-failing", "a thousand units fail at the boot: people log in, others run, a slot on trial is judged by the units that did not fail before", unitsFailing},
		{"stop-slow", "a container and a program that do not stop delay a restart by their time limits, no more", stopSlow},
	} {
		suite.Register(suite.Test{
			Suite: suite.Smoke, Name: test.name, Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
			Does: test.does, Run: test.run,
		})
	}
}

// readOnly lays an overlay without an upper layer over /var, which is as read-only as a disk.
func readOnly(t *suite.T) {
	m := running(t)
	t.Run(m, `mkdir -p /etc/systemd/system/local-fs.target.wants
		printf '[Mount]\nWhat=overlay\nWhere=/var\nType=overlay\nOptions=lowerdir=/var:/media\n' >/etc/systemd/system/var.mount
		ln -s ../var.mount /etc/systemd/system/local-fs.target.wants/ && logger -t mark before && journalctl --sync && sync`)
	reboot(t, m)
	t.Fails(m, "touch /var/x")
	wantNoneFailed(t, m)
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	says(t, m, "slotctl disk", "/var is read-only: nothing there can be saved. journalctl -k says why")
	t.Run(m, "systemctl start disk-check.service")
	atLogin(t, m, "/var is read-only: ")
	t.Equal("the journal, of both boots", t.Run(m, "logger -t mark now && journalctl --sync && journalctl -q -t mark -o cat"), "before\nnow")
	t.Run(m, "setpriv --reuid=core --regid=core --init-groups sudo -n systemctl is-active sshd.service update-engine.service locksmithd.service systemd-logind.service systemd-resolved.service")
	if out := t.Fails(m, "docker info 2>&1"); !strings.Contains(out, "Docker") {
		t.Errorf("Docker says %s", out)
	}
	notJudged(t, m, "disk-read-only")
	// A machine without host keys that cannot save new ones.
	t.Run(m, `cp -a /etc/ssh /run/ssh && rm /run/ssh/ssh_host_ecdsa_key && : >/run/ssh/ssh_host_ed25519_key
		mount --bind /run/ssh /etc/ssh && mount -o remount,bind,ro /etc/ssh && systemctl restart sshd-keygen.service sshd.service`)
	m.Disconnect()
	t.Equal("host keys in memory", t.Run(m, "ls /run/coreos/hostkeys | wc -l; systemctl reload sshd.service; journalctl -b -q -p err -u sshd-keygen.service -o cat | grep -c 'cannot be saved in /etc/ssh'"), "4\n1")

	t.Run(m, "rm /etc/systemd/system/var.mount /etc/systemd/system/local-fs.target.wants/var.mount && sync")
	reboot(t, m)
	wantRoom(t, m)
	t.Run(m, "docker info")
}

// atLogin returns what a login shell says, and wants a text in it.
func atLogin(t *suite.T, m *machine.Machine, want string) string {
	t.Helper()
	out := t.Run(m, "PS1=x bash -lic exit 2>&1")
	if !strings.Contains(out, want) {
		t.Errorf("a login shell says %q, want %q in it", out, want)
	}
	return out
}

// notJudged puts the slot on trial, and wants that no judgement comes of the checks that fail.
func notJudged(t *suite.T, m *machine.Machine, why string) {
	t.Helper()
	before := t.Run(m, "cat /proc/sys/kernel/random/boot_id")
	onTrial(t, m, "health check "+why+" failed")
	t.Run(m, "slotctl deadline || true")
	t.Equal("the boot", t.Run(m, "systemctl list-jobs | grep -c reboot.target; cat /proc/sys/kernel/random/boot_id"), "0\n"+before)
	t.Equal("tries", t.Run(m, "slotctl status --json | grep -c '\"why\": \"unhealthy:"+why+"'"), "1")
	t.Run(m, "systemctl stop slot-health.service; slotctl good A")
}

func journalDamaged(t *suite.T) {
	m := running(t)
	t.Run(m, `logger -t mark first && journalctl --rotate && logger -t mark second && journalctl --rotate && logger -t mark third && journalctl --sync
		cd /var/log/journal/$(cat /etc/machine-id) && set -- system@*.journal && [ $# -ge 2 ]
		dd if=/dev/urandom of="$2" bs=4096 seek=1 count=2000 conv=notrunc 2>/dev/null
		dd if=/dev/urandom of=system.journal bs=64 count=4 conv=notrunc 2>/dev/null
		echo garbage >system@garbage.journal && : >user-0.journal && mkdir system@dir.journal && sync`)
	const all = "journalctl -q -t mark -o cat 2>/dev/null | xargs"
	t.Equal("after the damage", t.Run(m, "logger -t mark fourth; until journalctl --sync 2>/dev/null; do sleep 0.1; done; "+all), "first fourth")
	reboot(t, m)
	t.Equal("after a restart", t.Run(m, "logger -t mark fifth && journalctl --sync && "+all), "first fourth fifth")
	wantNoneFailed(t, m)
	t.Equal("damaged files that are named", t.Run(m, "journalctl --verify 2>&1 | grep -c '^FAIL'"), "1")
	t.Equal("the new files", t.Run(m, "journalctl --verify --file /var/log/journal/$(cat /etc/machine-id)/system.journal 2>&1 | grep -c '^PASS'"), "1")
}

func unitsFailing(t *suite.T) {
	m := running(t)
	t.Run(m, `cd /etc/systemd/system && mkdir -p multi-user.target.wants && for i in $(seq 1000); do
			printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >bad$i.service && ln -s ../bad$i.service multi-user.target.wants/
		done; sync`)
	rebootUnhealthy(t, m)
	t.Equal("units that failed", t.Run(m, "systemctl list-units --state=failed --plain --no-legend 'bad*' | wc -l"), "1000")
	t.Run(m, "systemctl is-active sshd.service update-engine.service locksmithd.service systemd-logind.service")
	if out := atLogin(t, m, "more: systemctl --failed"); len(out) > 1000 {
		t.Errorf("a login shell says %d bytes: %.300s", len(out), out)
	}
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	t.Equal("reason", slots(t, m)["A"].Why, "unhealthy:10-failed-units")
	// On trial only what did not fail before counts.
	t.Run(m, "slotctl bad A --why test && systemctl start slot-health.service")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	t.Run(m, "slotctl bad A --why test; systemd-run --quiet --unit=new-fault false; systemctl reset-failed 'bad*'; until systemctl is-failed --quiet new-fault; do sleep 0.1; done")
	says(t, m, "slotctl check", "failed units: new-fault.service")
}

// stopSlow has a container and a service that ignore SIGTERM, a hook of an operator that hangs, and a
// daemon that waits for its container.
func stopSlow(t *suite.T) {
	reference, authority := serveImage(t, deaf)
	m := running(t)
	pull(t, m, reference, authority)
	const limit = 6
	t.Run(m, fmt.Sprintf(`mkdir -p /etc/systemd/system.conf.d && printf '[Manager]\nDefaultTimeoutStopSec=%ds\n' >/etc/systemd/system.conf.d/50-test.conf && systemctl daemon-reexec
		docker run --detach --name deaf --restart always -v data:/data %s
		printf '[Service]\nExecStart=/usr/bin/docker run --rm --name unit %s\nExecStop=/usr/bin/docker stop --time 600 unit\n' >/etc/systemd/system/deaf.service
		systemctl daemon-reload && systemctl start deaf.service && until docker logs unit 2>/dev/null | grep -q started; do sleep 0.2; done`, limit, reference, reference))
	t.Run(m, "sync")
	start := time.Now()
	reboot(t, m)
	took := time.Since(start)
	t.Logf("the restart took %.1f s", took.Seconds())
	if most := t.Scaled((3*limit + 25) * time.Second); took > most {
		t.Errorf("that is more than %s", most)
	}
	t.Equal("what the container had written", t.Run(m, "cat /var/lib/docker/volumes/data/_data/line"), "line")
	t.Equal("it runs again", t.Run(m, "docker inspect --format '{{.State.Running}}' deaf"), "true")
	wantNoneFailed(t, m)
}

// deaf is a program that ignores the request to end.
const deaf = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	_ = os.WriteFile("/data/line", []byte("line\n"), 0o644)
	fmt.Println("started")
	time.Sleep(time.Hour)
}
`
