package blackbox

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "fleet", Native: true, Needs: suite.Host, Machines: 3, Limit: 40 * time.Minute,
		Does: "containers as units of a fleet: redundancy, sidekicks, metadata, global, replace, a daemon that is away, a drain by locksmith, failover, restart of all",
		Run:  fleetRuns,
	})
}

// sleeper is the program of the containers: it runs until it is asked to end.
const sleeper = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println("serving")
	<-c
}
`

// fleetTTL is how long the cluster waits for a machine.
const fleetTTL = 15 * time.Second

// fleetConfig joins a machine to the fleet.
const fleetConfig = `    - name: fleet.service
      enable: true
      command: start
      drop-ins:
        - name: 10-test.conf
          content: |
            [Service]
            Environment=FLEET_PUBLIC_IP=ADDRESS
            Environment=FLEET_METADATA=name=NODE,disk=ssd
            Environment=FLEET_AGENT_TTL=%s
`

// fleetUnits are those of the classic scenarios.
var fleetUnits = map[string]string{
	"web@.service": `[Unit]
After=docker.service
Requires=docker.service
[Service]
ExecStartPre=-/usr/bin/docker rm -f web-%i
ExecStart=/usr/bin/docker run --rm --name web-%i IMAGE
ExecStop=/usr/bin/docker stop web-%i
[X-Fleet]
Conflicts=web@*.service
`,
	"side@.service":   "[Unit]\nBindsTo=web@%i.service\nAfter=web@%i.service\n[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineOf=web@%i.service\n",
	"second.service":  "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineMetadata=name=node2\n",
	"nowhere.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineMetadata=disk=floppy\n",
	"all.service":     "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nGlobal=true\n",
	"old.service":     "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineMetadata=name=node1\n",
	"new.service":     "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineMetadata=name=node1\nReplaces=old.service\n",
	"free.service":    "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nPrefers=name=node3\n",
	"db.service":      "[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineMetadata=name=node3\n",
	"app.service":     "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/usr/bin/sleep infinity\n[X-Fleet]\nMachineMetadata=name=node1\n",
	"once.service":    "[Service]\nType=oneshot\nExecStart=/usr/bin/etcdctl put ran-%b yes\n[X-Fleet]\nRunOnce=true\n",
}

// fleet is a cluster whose machines are a fleet.
type fleet struct{ *cluster }

func fleetRuns(t *suite.T) {
	f := &fleet{newCluster(t, "", fmt.Sprintf(fleetConfig, fleetTTL))}
	reference, authority := serveImage(t, sleeper)
	for _, m := range f.nodes {
		pull(t, m, reference, authority)
	}
	f.until("three machines", f.nodes[0], "fleetctl list-machines --no-legend | wc -l", "3")
	for name, text := range fleetUnits {
		t.Run(f.nodes[0], fmt.Sprintf("cat >/tmp/%s <<'EOF'\n%sEOF", name, strings.ReplaceAll(text, "IMAGE", reference)))
	}
	f.scenarios()
	f.needs()
	f.rolls()
	if !t.Native() { // where the clock is the host's
		f.clockJumps()
	}
	f.daemonAway()
	f.leaves()
	f.drainedRestart()
	f.failover()
	f.restartAll()
}

// scenarios checks the features of a cluster in which nothing fails.
func (f *fleet) scenarios() {
	t, m := f.t, f.nodes[0]
	t.Run(m, "cd /tmp && fleetctl start web@1.service web@2.service web@3.service")
	t.Equal("machines of the three", fmt.Sprint(len(unique(f.where("web@1"), f.where("web@2"), f.where("web@3")))), "3")
	for i, m := range f.nodes {
		f.until(fmt.Sprintf("containers of node%d", i+1), m, "docker ps --format '{{.Image}}' | grep -c program:1", "1")
	}
	// A unit that the machines cannot have is assigned to none of them. On a machine the agent
	// would not start it either.
	t.Run(m, "cd /tmp && fleetctl start --no-block web@4.service")
	f.until("a fourth that conflicts waits", m, "fleetctl why web@4.service | grep -c 'none of 3 machines can have it'", "1")
	t.Equal("machines with a reason", t.Run(m, "fleetctl why web@4.service | grep -c 'conflicts with web@'"), "3")
	t.Run(m, "fleetctl destroy web@4.service")
	t.Run(m, "cd /tmp && fleetctl start side@2.service second.service all.service old.service")
	t.Equal("the sidekick's machine", f.where("side@2"), f.where("web@2"))
	t.Equal("the machine with the metadata", f.where("second"), "10.9.0.2")
	for i, m := range f.nodes {
		f.until(fmt.Sprintf("the global unit on node%d", i+1), m, "systemctl is-active all.service || true", "active")
	}
	t.Run(m, "cd /tmp && fleetctl start --no-block nowhere.service")
	t.Run(m, "fleetctl why nowhere.service | grep 'none of 3 machines can have it'")
	t.Run(m, "fleetctl destroy nowhere.service")

	t.Equal("the machine of what is replaced", f.where("old"), "10.9.0.1")
	t.Run(m, "cd /tmp && fleetctl start new.service")
	f.until("what is replaced waits", m, "fleetctl list-unit-files --no-legend --fields=unit,state | grep ^old | tr -s '\t ' ' '", "old.service inactive")

	t.Run(m, "cd /tmp && fleetctl start once.service")
	f.until("what runs once is done", m, "etcdctl get --prefix ran- --keys-only | grep -c .", "1")
	f.until("and known to be", m, "fleetctl why once.service | grep -c 'run once and finished'", "1")
}

// needs has a unit require one that another machine has.
func (f *fleet) needs() {
	t, m := f.t, f.nodes[0]
	both := func(what string) {
		t.Helper()
		f.until(what, m, "fleetctl list-units --no-legend | grep -cE '^(app|db).*running'", "2")
	}
	t.Run(m, "cd /tmp && fleetctl submit db.service && fleetctl start --no-block app.service")
	f.until("what requires another one waits", m, "fleetctl why app.service | grep -c 'and waits for db.service'", "1")
	t.Run(m, "fleetctl start db.service")
	both("it has been started")
	t.Run(m, "systemctl show --value --property=Description db.service | grep 'Stands in'")
	t.Run(m, "fleetctl stop db.service")
	f.until("it stops", m, "systemctl is-active app.service || true", "inactive")
	t.Run(m, "fleetctl start db.service")
	both("it has been started again")
	t.Run(m, "sed -i s/node3/node1/ /tmp/db.service && cd /tmp && fleetctl start --replace db.service")
	f.until("what it requires has come to its machine", m, "systemctl show --value --property=Description db.service | grep -c 'Stands in' || true", "0")
	both("both run there")
	t.Run(m, "fleetctl destroy app.service db.service")
}

// rolls gives the containers a new file, and one that does not work.
func (f *fleet) rolls() {
	t, m := f.t, f.nodes[0]
	t.Run(m, "cd /tmp && cp web@.service good && sed -i '/^.Unit/a Description=Rolled' web@.service && fleetctl roll --steady=2s web@.service >/tmp/rolled 2>&1 || { cat /tmp/rolled; exit 1; }")
	t.Equal("units with the new file", t.Run(m, "fleetctl list-unit-files --no-legend --fields=unit,desc | grep -c '^web@[123].*Rolled'"), "3")
	t.Run(m, "cd /tmp && sed -i 's|^ExecStart=.*|ExecStart=/usr/bin/false|' web@.service")
	t.Fails(m, "cd /tmp && fleetctl roll --steady=2s --limit=30s web@.service")
	f.until("all run as before", m, "fleetctl list-units --no-legend | grep -cE '^web@.*running'", "3")
	t.Equal("units with the old file", t.Run(m, "fleetctl list-unit-files --no-legend --fields=unit,desc | grep -c '^web@[123].*Rolled'"), "3")
}

// clockJumps sets a machine's clock while it renews its lease, which nobody notices.
func (f *fleet) clockJumps() {
	t, m := f.t, f.nodes[1]
	// When units were started, and how often the machine joined.
	before := func() string {
		return t.Run(m, "systemctl show --value --property=ActiveEnterTimestampMonotonic 'web@*' second all; journalctl -u fleet | grep -c 'has joined the cluster'")
	}
	was := before()
	for _, jump := range []string{"+1 hour", "-2 hours", "+1 hour"} {
		t.Run(m, fmt.Sprintf("end=$(($(cut -d' ' -f2 /run/fleet/lease) + %d)); date -s '%s' && until [ $(cut -d' ' -f2 /run/fleet/lease) -gt $end ]; do sleep 0.5; done", 2*fleetTTL, jump))
	}
	t.Equal("what a jumping clock does", before(), was)
}

// daemonAway ends the daemon of a machine for longer than its lease.
func (f *fleet) daemonAway() {
	m := f.nodes[1]
	f.t.Run(m, "systemctl stop fleet && systemctl is-active second.service")
	start := time.Now()
	f.until("what may run elsewhere stops", m, "systemctl is-active second.service web@?.service | sort -u", "inactive")
	f.t.Logf("stopped %.1f s after the end of the daemon, the lease is %s", time.Since(start).Seconds(), fleetTTL)
	f.t.Run(m, "systemctl is-active all.service && systemctl start fleet")
	f.until("it runs again", f.nodes[0], "fleetctl list-units --no-legend | grep -cE '^(web@|side@|second).*running'", "5")
}

// leaves has a machine leave the cluster and join it again.
func (f *fleet) leaves() {
	t, m := f.t, f.nodes[1]
	t.Run(m, "fleetd leave | grep 'Unit all.service has left'")
	f.until("two machines are left", f.nodes[0], "fleetctl list-machines --no-legend | wc -l", "2")
	t.Run(m, "! systemctl is-active fleet fleet-guard all.service second.service web@1 web@2 web@3")
	t.Run(m, "systemctl start fleet")
	f.until("all run again", f.nodes[0], "fleetctl list-units --no-legend | grep -cE '^(web@|side@|second|all).*running'", "8")
}

// drainedRestart has locksmith restart a machine, from which fleet moves what can run elsewhere.
func (f *fleet) drainedRestart() {
	t, m := f.t, f.nodes[2]
	t.Run(f.nodes[0], "cd /tmp && fleetctl start free.service")
	t.Equal("the preferred machine", f.where("free"), "10.9.0.3")
	t.Run(m, "systemd-run --quiet --on-active=1s locksmithctl send-need-reboot")
	f.until("the machine is drained", f.nodes[0], "fleetctl list-machines --no-legend --fields=drain | grep -c reboot", "1")
	m.Restarts()
	f.until("the unit is elsewhere", f.nodes[0], "fleetctl list-units --no-legend --fields=unit,machine | grep '^free' | grep -vc 10.9.0.3", "1")
	healthy(t, m)
	t.Run(m, "journalctl -b -1 -u 'locksmithd*' | grep 'hook.*50-fleet.*output=.Drained'")
	f.until("the drain has ended", f.nodes[0], "fleetctl list-machines --no-legend --fields=drain | grep -c reboot || true", "0")
	f.until("all run again", f.nodes[0], "fleetctl list-units --no-legend | grep -cE '^(web@|side@|second|free).*running'", "6")
}

// failover cuts the power of the machine that leads fleet or another one.
func (f *fleet) failover() {
	t := f.t
	lost := 2
	if f.where("side@2") == "10.9.0.2" {
		lost = 1
	}
	m := f.nodes[0]
	f.nodes[lost].Cut()
	start := time.Now()
	f.until("two machines", m, "fleetctl list-machines --no-legend | wc -l", "2")
	t.Logf("the lost machine was gone after %.1f s, its lease is %s", time.Since(start).Seconds(), fleetTTL)
	f.until("a unit of three that conflict waits", m, "for i in 1 2 3; do fleetctl why web@$i.service; done | grep -c 'none of 2 machines can have it'", "1")
	f.restart(lost)
	healthy(t, f.nodes[lost])
	f.until("three machines again", m, "fleetctl list-machines --no-legend | wc -l", "3")
	f.until("all three run", m, "fleetctl list-units --no-legend | grep -c '^web@.*running'", "3")
}

// restartAll cuts the power of all machines.
func (f *fleet) restartAll() {
	for _, m := range f.nodes {
		m.Cut()
	}
	for i := range f.nodes {
		f.restart(i)
	}
	for _, m := range f.nodes {
		healthy(f.t, m)
	}
	m := f.nodes[0]
	f.until("all run again", m, "fleetctl list-units --no-legend | grep -cE '^(web@|side@|second|new).*running'", "6")
	f.until("the global one, too", m, "fleetctl list-units --no-legend | grep -cE '^all.*running'", "3")
	f.t.Equal("runs of what runs once", f.t.Run(m, "etcdctl get --prefix ran- --keys-only | grep -c ."), "1")
}

// where is the address of the machine that has a unit.
func (f *fleet) where(unit string) string {
	f.t.Helper()
	out := f.t.Run(f.nodes[0], "fleetctl list-units --no-legend --fields=unit,machine | grep '^"+unit+".service'")
	return regexp.MustCompile(`[^/]*$`).FindString(strings.TrimSpace(out))
}

// until waits on a machine until a command prints something.
func (f *fleet) until(what string, m *machine.Machine, command, want string) {
	f.t.Helper()
	untilPrints(f.t, what, m, 180, command, want)
}

// untilPrints waits on a machine of a fleet until a command prints something, for some seconds at most.
func untilPrints(t *suite.T, what string, m *machine.Machine, seconds int, command, want string) {
	t.Helper()
	start := time.Now()
	t.Run(m, fmt.Sprintf(`end=$(($(date +%%s) + %d)); while is=$(%s); [ "$is" != '%s' ]; do [ $(date +%%s) -lt $end ] || { echo "$is"; fleetctl list-units; fleetctl list-unit-files; exit 1; }; sleep 0.5; done`, t.Seconds(seconds), command, want))
	t.Logf("%s: %.1f s", what, time.Since(start).Seconds())
}

func unique(all ...string) map[string]bool {
	set := map[string]bool{}
	for _, one := range all {
		set[one] = true
	}
	return set
}
