package blackbox

import (
	"fmt"
	"net/http"
	"net/netip"
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
		{"read-only", "/var is read-only at the boot, and then all of ROOT: people log in, it is said, the slot is not judged by it", readOnly},
		{"journal-damaged", "files of the journal are damaged: the others stay readable, new ones are written", journalDamaged},
		{"units-failing", "a thousand units fail at the boot: people log in, others run, a slot on trial is judged by the units that did not fail before", unitsFailing},
		{"stop-slow", "a container and a program that do not stop delay a restart by their time limits, no more", stopSlow},
		{"no-name-server", "without a name server, or with one that does not answer, the machine boots as fast and says what it lacks", noNameServer},
		{"ipv6-only", "a machine on a network without IPv4 boots, pulls an image, asks for updates", ipv6Only},
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
	t.Equal("failed units", t.Run(m, "systemctl list-units --state=failed --plain --no-legend"), "")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	says(t, m, "slotctl disk", "/var is read-only: nothing there can be saved. journalctl -k says why")
	t.Run(m, "systemctl start disk-check.service")
	if out := t.Run(m, "PS1=x bash -lic exit 2>&1"); !strings.Contains(out, "/var is read-only: ") {
		t.Errorf("a login shell says %q", out)
	}
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
	t.Equal("the disk", t.Run(m, "slotctl disk"), "/, /etc and /var can be written and have room")
	t.Run(m, "docker info")
}

// notJudged puts the slot on trial, and wants that no judgement comes of the checks that fail.
func notJudged(t *suite.T, m *machine.Machine, why string) {
	t.Helper()
	before := t.Run(m, "cat /proc/sys/kernel/random/boot_id")
	t.Run(m, "systemctl stop slot-health.service; slotctl bad A --why test && systemctl start --no-block slot-health.service")
	t.Run(m, fmt.Sprintf("timeout %d sh -c 'until journalctl -b -q -u slot-health.service | grep -qF \"health check %s failed\"; do sleep 0.2; done'", t.Seconds(150), why))
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
	t.Equal("failed units", t.Run(m, "systemctl list-units --state=failed --plain --no-legend"), "")
	t.Equal("damaged files that are named", t.Run(m, "journalctl --verify 2>&1 | grep -c '^FAIL'"), "1")
	t.Equal("the new files", t.Run(m, "journalctl --verify --file /var/log/journal/$(cat /etc/machine-id)/system.journal 2>&1 | grep -c '^PASS'"), "1")
}

func unitsFailing(t *suite.T) {
	m := running(t)
	t.Run(m, `cd /etc/systemd/system && mkdir -p multi-user.target.wants && for i in $(seq 1000); do
			printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >bad$i.service && ln -s ../bad$i.service multi-user.target.wants/
		done; sync`)
	t.Must(m.Reboot(t.Context))
	t.Must(m.WaitSSH(t.Context))
	t.Run(m, "systemctl start slot-health.service || true")
	t.Equal("units that failed", t.Run(m, "systemctl list-units --state=failed --plain --no-legend 'bad*' | wc -l"), "1000")
	t.Run(m, "systemctl is-active sshd.service update-engine.service locksmithd.service systemd-logind.service")
	if out := t.Run(m, "PS1=x bash -lic exit 2>&1"); !strings.Contains(out, "more: systemctl --failed") || len(out) > 1000 {
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
	t.Equal("failed units", t.Run(m, "systemctl list-units --state=failed --plain --no-legend"), "")
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

// noNameServer has no name server, as all machines here, and then one that does not answer.
func noNameServer(t *suite.T) {
	m := running(t)
	check := func(what string) {
		t.Helper()
		t.Equal(what+", state", t.Run(m, "systemctl is-system-running --wait"), "running")
		start := time.Now()
		m.Disconnect()
		t.Run(m, "true")
		if took := time.Since(start); took > t.Scaled(5*time.Second) {
			t.Errorf("%s: a login takes %s", what, took)
		}
		t.Run(m, "printf 'SERVER=https://updates.example.com/v1/update/\\n' >/etc/coreos/update.conf && systemctl restart update-engine.service")
		t.Run(m, fmt.Sprintf("timeout %d sh -c 'until update_engine_client -update 2>&1 | grep -q \"updates.example.com.*(no name server answers: see resolvectl status)\"; do sleep 1; done'", t.Seconds(120)))
	}
	check("without a name server")
	t.Run(m, "printf '#cloud-config\\nusers:\\n- {name: elroy, coreos_ssh_import_url: \"https://keys.example.com/elroy\"}\\nwrite_files:\\n- {path: /opt/rest, content: rest}\\n' >/run/config.yml")
	says(t, m, fmt.Sprintf("timeout %d coreos-cloudinit -from-file /run/config.yml", t.Seconds(240)), "user elroy: ")
	t.Equal("the rest of a config", t.Run(m, "cat /opt/rest"), "rest")
	t.Run(m, `mkdir -p /etc/systemd/resolved.conf.d && printf '[Resolve]\nDNS=192.0.2.53\n' >/etc/systemd/resolved.conf.d/50-silent.conf
		printf '[Match]\nName=silent0\n[Network]\nAddress=192.0.2.1/24\n[Link]\nRequiredForOnline=no\n' >/etc/systemd/network/50-silent.network
		printf '[NetDev]\nName=silent0\nKind=dummy\n' >/etc/systemd/network/50-silent.netdev && sync`)
	reboot(t, m)
	check("with a silent one")
	if out := t.Fails(m, "docker pull registry.example.com/x 2>&1"); !strings.Contains(out, "registry.example.com") {
		t.Errorf("Docker says %s", out)
	}
}

func ipv6Only(t *suite.T) {
	if !t.Native() {
		t.Skip("only on the host's kernel: QEMU's user network has IPv4")
	}
	m := boot(t, machine.Config{IPv6Only: true})
	healthy(t, m)
	t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
	t.Equal("addresses of IPv4", t.Run(m, "ip -4 -brief address show dev eth0"), "")
	t.Equal("the network", t.Run(m, "networkctl --json=short status eth0 | grep -o '\"OnlineState\":\"[a-z]*\"'"), `"OnlineState":"online"`)
	asked := make(chan string, 16)
	listener := t.ListenIPv6()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.NotFound(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	t.Run(m, fmt.Sprintf("printf 'SERVER=http://%s/v1/update/\\n' >/etc/coreos/update.conf && systemctl restart update-engine.service && { update_engine_client -update || true; }", listener.Addr()))
	select {
	case path := <-asked:
		t.Equal("update-engine asks", path, "/v1/update/")
	case <-time.After(t.Scaled(time.Minute)):
		t.Error("update-engine did not reach the server")
	}
	reference, authority := serveImageAt(t, t.ListenIPv6(), machine.HostInMachineIPv6, deaf)
	pull(t, m, reference, authority)
	t.Equal("a container in the host's network", t.Run(m, "docker run --rm --detach --network host --volume data:/data "+reference+" >/dev/null && docker ps --quiet | wc -l"), "1")
	t.Equal("the machine's address for fleet", t.Run(m, "until ip -6 route | grep -q ^default; do sleep 0.2; done; systemctl start etcd-member fleet && until fleetctl list-machines --no-legend --fields=ip | grep .; do sleep 0.5; done"), netip.MustParseAddr(strings.Split(m.Address(22), "]")[0][1:]).String())
	reboot(t, m)
	t.Equal("system state after a restart", t.Run(m, "systemctl is-system-running --wait"), "running")
}
