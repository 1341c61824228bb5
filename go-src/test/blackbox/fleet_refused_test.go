package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "fleet-refused", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "units that the machine's systemd refuses, names that the machine has, units that depend on each other, slow ends, a stopped daemon, an alarm of etcd; who may change what the system keeps in etcd",
		Run:  fleetRefused,
	})
}

// loneTTL is the time of the lease of a fleet of one machine.
const loneTTL = 6 * time.Second

// loneConfig makes a machine a fleet of its own.
const loneConfig = `#cloud-config
hostname: lone
coreos:
  fleet:
    agent-ttl: %s
  units:
    - name: etcd-member.service
      enable: true
      command: start
    - name: fleet.service
      enable: true
      command: start
`

const sleeps = "ExecStart=/usr/bin/sleep infinity\n"

// refusedUnits are units that systemd refuses, with a part of its reason.
var refusedUnits = map[string]struct{ text, reason string }{
	"mistyped": {"[Service]\nExecStat=/usr/bin/sleep 1\n", "bad unit file setting"},
	"unquoted": {"[Service]\nExecStart=/usr/bin/sh -c 'sleep 1\n", "bad unit file setting"},
	"needy":    {"[Unit]\nRequires=none.service\n[Service]\n" + sleeps, "none.service not found"},
}

// acceptedUnits are units that run.
var acceptedUnits = map[string]string{
	"app":           "[Unit]\nRequires=app-side.service\n[Service]\n" + sleeps,
	"app-side":      "[Unit]\nBindsTo=app.service\nAfter=app.service\n[Service]\n" + sleeps + "[X-Fleet]\nMachineOf=app.service\n",
	"slow":          "[Service]\n" + sleeps + "ExecStop=/usr/bin/sh -c 'sleep 4; touch /run/slow-has-ended'\n",
	"mine":          "[Service]\n" + sleeps,
	"docker":        "[Service]\n" + sleeps,
	"fails":         "[Service]\nExecStart=/usr/bin/false\n",
	"broken":        "[Unit]\nDescription=of fleet\nRequires=fails-oneshot.service\nAfter=fails-oneshot.service\n[Service]\n" + sleeps,
	"fails-oneshot": "[Service]\nType=oneshot\nExecStart=/usr/bin/false\n",
}

// lone is a fleet of one machine.
type lone struct {
	t *suite.T
	m *machine.Machine
}

func fleetRefused(t *suite.T) {
	path := filepath.Join(t.Dir, "lone.yml")
	t.Must(os.WriteFile(path, []byte(fmt.Sprintf(loneConfig, loneTTL)), 0o644))
	l := &lone{t, boot(t, machine.Config{CloudConfig: path})}
	healthy(t, l.m)
	l.until("the machine has joined", "fleetctl list-machines --no-legend | wc -l", "1")
	for name, unit := range refusedUnits {
		l.write("/tmp/"+name+".service", unit.text)
	}
	for name, text := range acceptedUnits {
		l.write("/tmp/"+name+".service", text)
	}
	l.doors()
	l.refused()
	l.taken()
	l.cycle()
	l.slowEnds()
	l.alarm()
	l.stopped()
}

func (l *lone) write(path, text string) {
	l.t.Run(l.m, fmt.Sprintf("cat >%s <<'EOF'\n%sEOF", path, text))
}

func (l *lone) until(what, command, want string) {
	l.t.Helper()
	untilPrints(l.t, what, l.m, 60, command, want)
}

// fails runs a command that has to fail in time, and returns what it prints.
func (l *lone) fails(command string) string {
	l.t.Helper()
	return l.t.Run(l.m, fmt.Sprintf("cd /tmp; timeout %d %s >out 2>&1; status=$?; cat out; [ $status -ne 0 ] && [ $status -ne 124 ]", l.t.Seconds(30), command))
}

func (l *lone) contains(what, is, want string) {
	l.t.Helper()
	if !strings.Contains(is, want) {
		l.t.Fatalf("%s: no %q in:\n%s", what, want, is)
	}
}

// refused starts units that systemd refuses, or that fail.
func (l *lone) refused() {
	for name, unit := range refusedUnits {
		l.contains("start "+name, l.fails("fleetctl start "+name+".service"), unit.reason)
		l.contains("why "+name, l.t.Run(l.m, "fleetctl why "+name), unit.reason)
		l.t.Run(l.m, "fleetctl list-units --no-legend --fields=unit,active | tr -s '\t ' ' ' | grep -x '"+name+".service failed'")
		l.contains("start "+name+" again", l.fails("fleetctl start "+name+".service"), unit.reason)
		l.t.Run(l.m, "fleetctl destroy "+name)
	}
	l.contains("start a unit that fails", l.fails("fleetctl start fails.service"), "failed")
	l.contains("start it again", l.fails("fleetctl start fails.service"), "failed")
	l.t.Run(l.m, "cd /tmp && fleetctl start --no-block fails-oneshot.service")
	l.contains("start a unit whose requirement fails", l.fails("fleetctl start broken.service"), "a unit that it requires did not start")
	l.t.Run(l.m, "fleetctl destroy broken fails fails-oneshot")
}

// taken uses names of units that the machine has: of its image, and of its operator.
func (l *lone) taken() {
	const own = "/etc/systemd/system/mine.service"
	l.contains("submit docker.service", l.fails("fleetctl submit docker.service"), "/usr/lib/systemd/system/docker.service")
	l.t.Run(l.m, "cd /tmp && fleetctl submit mine.service")
	l.write(own, "[Service]\nExecStart=/usr/bin/sleep 12345\n")
	l.t.Run(l.m, "systemctl daemon-reload && systemctl start mine")
	l.contains("start mine.service", l.fails("fleetctl start mine.service"), own)
	l.contains("its state", l.t.Run(l.m, "fleetctl list-units --no-legend --fields=unit,active,problem"), own)
	l.t.Run(l.m, "fleetctl destroy mine && systemctl is-active mine && systemctl show --value -p ExecStart mine | grep 12345")
	l.contains("submit mine.service", l.fails("fleetctl submit mine.service"), own)
	l.t.Run(l.m, "systemctl stop mine && rm "+own+" && systemctl daemon-reload && cd /tmp && fleetctl start mine.service && fleetctl destroy mine")
}

// cycle starts two units that depend on each other, at once and after a restart of the daemon.
func (l *lone) cycle() {
	l.t.Run(l.m, fmt.Sprintf("cd /tmp && timeout %d fleetctl start app.service app-side.service && systemctl is-active app app-side", l.t.Seconds(30)))
	l.t.Run(l.m, "fleetctl stop app app-side && ! systemctl is-active app app-side")
	l.t.Run(l.m, fmt.Sprintf("timeout %d fleetctl start app app-side && systemctl is-active app app-side", l.t.Seconds(30)))
	l.t.Run(l.m, "fleetctl destroy app app-side")
}

// slowEnds destroys and unloads a unit whose end takes time.
func (l *lone) slowEnds() {
	for _, verb := range []string{"unload", "destroy"} {
		l.t.Run(l.m, "cd /tmp && fleetctl start slow.service && fleetctl "+verb+" slow && rm /run/slow-has-ended && ! systemctl is-active slow")
	}
}

// alarm has etcd refuse writes while the daemon reads its settings anew and is restarted.
func (l *lone) alarm() {
	const alarm = `curl -sf --unix-socket /run/etcd/etcd.sock http://localhost/v3/maintenance/alarm -d '{"action":"%s","alarm":"NOSPACE","memberID":"1"}'`
	l.t.Run(l.m, "cd /tmp && fleetctl start mine.service")
	const pid = "systemctl show --value -p MainPID mine"
	was := l.t.Run(l.m, pid)
	l.t.Run(l.m, fmt.Sprintf(alarm, "ACTIVATE")+" && ! etcdctl put a b")
	for _, verb := range []string{"reload", "restart"} {
		l.t.Run(l.m, fmt.Sprintf("systemctl %s fleet && sleep %d", verb, 3*loneTTL/time.Second))
		l.t.Equal("the unit after a "+verb, l.t.Run(l.m, pid), was)
		l.t.Run(l.m, "fleetctl list-units --no-legend | grep 'mine.service.*running'")
	}
	l.t.Run(l.m, "kill "+was)
	l.until("no state is better than a wrong one", "fleetctl list-units --no-legend | grep -c running || true", "0")
	l.t.Run(l.m, fmt.Sprintf(alarm, "DEACTIVATE")+" && etcdctl put a b")
	l.until("the state is written", "fleetctl list-units --no-legend | grep -c mine.service || true", "1")
	l.t.Run(l.m, "fleetctl destroy mine")
}

// stopped stops the daemon: a call of the API does not start it again.
func (l *lone) stopped() {
	l.t.Run(l.m, "systemctl stop fleet && ! systemctl is-active fleet.socket && [ ! -e /run/fleet.sock ]")
	l.fails("fleetctl list-machines")
	l.t.Run(l.m, "! systemctl is-active fleet && systemctl restart fleet && systemctl is-active fleet.socket && fleetctl list-machines")
	l.t.Run(l.m, "systemctl restart fleet && fleetctl list-machines && systemctl kill -s KILL fleet")
	l.until("a killed daemon comes back with its socket", "systemctl is-active fleet fleet.socket | sort -u", "active")
	l.t.Run(l.m, "fleetctl list-machines")
}
