package blackbox

import (
	"fmt"
	"strings"

	"coreos/test/machine"
	"coreos/test/suite"
)

// attempts is a script for the sandbox of a daemon. It prints what the daemon can do and must not:
// what whoever takes it over would do next. Its arguments are the sockets of others.
const attempts = `
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "CAN $name"; fi; }
can() { name=$1; shift; if "$@" 2>/dev/null | grep -q '"yes"'; then echo "CAN $name"; fi; }
systemd="org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"
login="org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager"
[ "$(id -u)" != 0 ] || echo CAN be root
try 'run a command by systemd' systemd-run --quiet --wait true
try 'start a unit' busctl call $systemd StartUnit ss systemd-tmpfiles-clean.service replace
try 'reload systemd' busctl call $systemd Reload
try 'link a unit' busctl call $systemd LinkUnitFiles asbb 1 /tmp/x.service true true
can 'reboot' busctl call $login CanReboot
can 'power off' busctl call $login CanPowerOff
try 'have the update forgotten' busctl call com.coreos.update1 /com/coreos/update1 com.coreos.update1.Manager ResetStatus
try 'signal other processes' kill -0 1
for path in /etc /usr /root /opt /var/lib /etc/systemd/system /run/systemd/system /run/coreos; do
	try "write $path" touch $path/attempt
done
for path in /etc/shadow /etc/coreos/secret; do
	try "read $path" cat $path
done
for device in /sys/class/block/*; do
	try "read ${device##*/}" head -c 1 /dev/${device##*/}
done
for socket in "$@"; do
	try "use $socket" test -w $socket
done
echo END
`

// wantConfined runs attempts in the sandbox of a daemon, as its user: systemd runs them where it
// runs the daemon. They must all fail. others are the sockets of others.
func wantConfined(t *suite.T, m *machine.Machine, daemon string, others ...string) {
	t.Helper()
	t.Run(m, "cat >/run/attempts <<'END-OF-SCRIPT'\n"+attempts+"END-OF-SCRIPT\n(umask 077; echo secret >/etc/coreos/secret)")
	restore := restartWith(t, m, daemon, "ExecStartPost=/bin/sh /run/attempts "+strings.Join(others, " "), "StandardOutput=truncate:/run/attempts.out", "StandardError=journal")
	t.Equal("what "+daemon+" can do and must not", t.Run(m, "cat /run/attempts.out"), "END")
	t.Run(m, "rm -r /run/attempts* /etc/coreos/secret")
	restore()
}

// restartWith restarts a daemon with more settings of its service. The returned function restarts it
// without them.
func restartWith(t *suite.T, m *machine.Machine, daemon string, settings ...string) (restore func()) {
	t.Helper()
	dropIn := "/run/systemd/system/" + daemon + ".service.d"
	restart := "systemctl daemon-reload && systemctl restart " + daemon
	t.Run(m, fmt.Sprintf("mkdir -p %[1]s && cat >%[1]s/test.conf <<'END' && %[2]s\n[Service]\n%[3]s\nEND", dropIn, restart, strings.Join(settings, "\n")))
	return func() {
		t.Helper()
		t.Run(m, fmt.Sprintf("rm -r %s && %s", dropIn, restart))
	}
}

// wantStateShared has update-engine take over the state of an earlier version, which ran as root,
// and that version read it again after a rollback.
func wantStateShared(t *suite.T, m *machine.Machine) {
	t.Helper()
	// locksmithd would have D-Bus start update-engine again.
	t.Run(m, `systemctl stop locksmithd update-engine && cd /var/lib/update-engine && mkdir -p repository work && echo '{"failed":{"1.2.3":"panic"}}' >state.json && echo old >repository/1.root.json &&
		chown -R root:root . && chmod -R go= . && systemctl start update-engine`)
	if status := t.Run(m, "update_engine_client -status"); !strings.Contains(status, "REFUSED_VERSION=1.2.3 panic") {
		t.Errorf("the state of an earlier version is not read:\n%s", status)
	}
	t.Run(m, "update_engine_client -reset_status")
	const asDaemon = "setpriv --reuid=update-engine --regid=update-engine --clear-groups "
	t.Run(m, asDaemon+`sh -euc 'umask 022; cd /var/lib/update-engine/repository; cat 1.root.json; rm 1.root.json; echo new >2.root.json'`)
	const asBefore = "systemd-run --quiet --wait --pipe -p StateDirectory=update-engine -p StateDirectoryMode=0700 -p CapabilityBoundingSet=CAP_SYS_BOOT -p ProtectSystem=strict -p UMask=0077 "
	t.Run(m, "systemctl stop update-engine && "+asBefore+`sh -euc 'cd /var/lib/update-engine; grep -q new repository/2.root.json; if grep -q 1.2.3 state.json; then exit 1; fi; rm repository/2.root.json
		echo "{\"failed\":{\"1.2.4\":\"panic\"}}" >s && mv s state.json; echo old >repository/3.root.json' && systemctl start update-engine`)
	if status := t.Run(m, "update_engine_client -status"); !strings.Contains(status, "REFUSED_VERSION=1.2.4 panic") {
		t.Errorf("the state after a rollback is not read:\n%s", status)
	}
	// A bundle that only root can read reaches the daemon as an open file.
	if message := t.Fails(m, "umask 077 && echo x >/root/x.bundle && update_engine_client --apply /root/x.bundle"); !strings.Contains(message, "/root/x.bundle: not an update bundle") {
		t.Errorf("a file that is no bundle: %s", message)
	}
	t.Run(m, asDaemon+"rm /var/lib/update-engine/repository/3.root.json && update_engine_client -reset_status && systemctl start locksmithd")
}

// wantKeysCopied gives locksmithd a certificate for etcd whose key only root can read.
func wantKeysCopied(t *suite.T, m *machine.Machine) {
	t.Helper()
	// The test starts locksmithd more often than systemd's limit, five times in ten seconds, permits.
	t.Run(m, "systemctl reset-failed locksmithd")
	const client = "/etc/coreos/pki/clients/locksmith/client"
	t.Run(m, "umask 077 && etcd-memberctl certs --dir /etc/coreos/pki --machine here=127.0.0.1 --client locksmith")
	restore := restartWith(t, m, "locksmithd", "Environment=LOCKSMITHD_ETCD_CAFILE=/etc/coreos/pki/ca.crt LOCKSMITHD_ETCD_CERTFILE="+client+".crt LOCKSMITHD_ETCD_KEYFILE="+client+".key")
	wantLocksmith(t, m, "no restart is needed")
	const copied = "/run/coreos/locksmithd/etc-coreos-pki-clients-locksmith-client.key"
	t.Equal("mode and owner of the copy", t.Run(m, "stat -c '%a %U' "+copied), "400 locksmith")
	t.Run(m, "rm -r /etc/coreos/pki")
	restore()
	t.Run(m, "test ! -e "+copied)
}
