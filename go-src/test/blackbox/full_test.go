package blackbox

import (
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "disk-full", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "a container fills ROOT, and the system keeps a reserve; without that, too, the machine boots, says so, and judges no slot by it",
		Run:  diskFull,
	})
}

// limited starts a machine whose ROOT has 2 GiB where it would have the host's disk.
func limited(t *suite.T) *machine.Machine {
	t.Helper()
	if !t.Native() {
		return running(t)
	}
	m := t.Start(machine.Config{Name: "machine", Root: t.LimitedRoot("machine", 2<<30)})
	healthy(t, m)
	return m
}

// filler is a program that takes all the room that it gets.
const filler = `package main

import (
	"os"
	"syscall"
)

func main() {
	f, err := os.Create("/data/fill")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var end int64
	for step := int64(1 << 30); step >= 4096; {
		if err := syscall.Fallocate(int(f.Fd()), 0, end, step); err == nil {
			end += step
		} else if err == syscall.ENOSPC {
			step /= 2
		} else if err != syscall.EINTR {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("full")
}
`

// fill takes all room of ROOT, as root with all capabilities.
const fill = "step=1048576; end=0; while [ $step -ge 4 ]; do if fallocate --keep-size --offset ${end}K --length ${step}K /opt/fill 2>/dev/null; then end=$((end + step)); else step=$((step / 2)); fi; done; " +
	"cat /dev/zero >/opt/rest 2>/dev/null; sync; cat /dev/zero >>/opt/rest 2>/dev/null; ! head -c 262144 /dev/zero >/opt/more 2>/dev/null"

func diskFull(t *suite.T) {
	reference, authority := serveImage(t, filler)
	m := limited(t)
	pull(t, m, reference, authority)
	wantRoom(t, m)
	t.Run(m, "printf '#!/bin/sh\\nhead -c 262144 /dev/zero >/var/lib/saved\\n' >/etc/coreos/health.d/50-save && chmod +x /etc/coreos/health.d/50-save && slotctl check")
	t.Equal("a container", t.Run(m, "docker run --rm --user 0 -v data:/data "+reference), "full")

	t.Fails(m, "setpriv --reuid=core --regid=core --init-groups --inh-caps=-all sh -c 'head -c 20000000 /dev/zero >/home/core/x'")
	says(t, m, "slotctl disk", "/ is full: 0 of ")
	t.Run(m, "systemctl start disk-check.service")
	t.Equal("what the journal says", t.Run(m, "journalctl -q -p warning -u disk-check.service -o cat | grep -c '^/ is full: .*docker system prune'"), "1")
	atLogin(t, m, "/ is full: 0 of ")
	// The system has a reserve.
	system := "head -c 1000000 /dev/urandom >/var/lib/mine && docker volume create --name more && docker run --rm -v more:/data " + reference
	t.Equal("what root and Docker can do", t.Run(m, system), "more\nfull")
	t.Run(m, "head -c 12000000 /dev/urandom | base64 -w 1000 | systemd-cat -t spam && logger -t mark written && journalctl --sync")
	t.Equal("the persistent journal", t.Run(m, "journalctl --directory=/var/log/journal -q -t mark -o cat"), "written")

	// Now nobody has any room, and 50-save fails for lack of it.
	t.Run(m, fill)
	rebootUnhealthy(t, m)
	t.Equal("failed units", t.Run(m, "systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1"), "slot-health.service")
	says(t, m, "slotctl disk", "/ is full: 0 of ")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	cannotSave(t, m)
	judgedLater(t, m)
	t.Run(m, "docker run --rm "+reference+" || [ $? = 1 ]") // without /data
	t.Equal("what the journal has of the boots", t.Run(m, "journalctl -q -t mark -o cat"), "written")
}

// wantRoom checks that the machine finds nothing wrong with its disk.
func wantRoom(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Equal("the disk", t.Run(m, "slotctl disk"), "/, /etc and /var can be written and have room")
}

// cannotSave checks that programs that cannot write leave what there was, and say why.
func cannotSave(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Run(m, "ls /var/lib/update-engine; cat /var/lib/update-engine/state.json >/run/state; mkdir -p /run/etc && cp -a /etc/passwd /etc/shadow /etc/group /run/etc")
	t.Run(m, "printf '#cloud-config\\nhostname: other\\nssh_authorized_keys:\\n- "+exampleKey+"\\nusers:\\n- name: elroy\\nwrite_files:\\n- path: /etc/big\\n  content: \"'$(head -c 20000 /dev/zero | tr '\\0' x)'\"\\n' >/run/config.yml")
	out := t.Fails(m, "coreos-cloudinit -from-file /run/config.yml 2>&1")
	if !strings.Contains(out, "no space left on device") {
		t.Errorf("cloud-config says %s", out)
	}
	t.Fails(m, "test -e /etc/big")
	t.Equal("accounts", t.Run(m, "for f in passwd shadow group; do grep -q ^root: /etc/$f && tail -c 1 /etc/$f | od -An -c | tr -d ' '; done"), "\\n\n\\n\n\\n")
	t.Run(m, "cmp /run/state /var/lib/update-engine/state.json")
	t.Run(m, "systemctl is-active update-engine.service locksmithd.service sshd.service systemd-journald.service")
}

// judgedLater puts the slot on trial on a disk that is full, beside one that is good.
func judgedLater(t *suite.T, m *machine.Machine) {
	t.Helper()
	onTrial(t, m, "health check disk-full failed: the file system of / is full")
	t.Run(m, "slotctl deadline >/dev/null 2>&1; rm -f /opt/fill /opt/rest /opt/more && docker volume rm -f data more")
	t.Run(m, "systemctl reset-failed docker.service docker.socket; systemctl start docker.socket disk-check.service")
	t.Run(m, "systemctl start slot-health.service")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	reboot(t, m) // for /etc
	wantRoom(t, m)
}
