package blackbox

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"coreos/internal/provision/ignition"
	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	for _, test := range []struct {
		name, does string
		run        func(*suite.T)
	}{
		{"accounts", "unknown groups are left out and named, keys of every name let in, imported keys are keys", accounts},
		{"metadata-faulty", "metadata with one bad entry: the rest is applied, the addresses are in /etc/environment, a long name is cut at a dot", metadataFaulty},
		{"user-data-broken", "user-data of no kind stops the first boot, which says why; once mended the machine comes up", userDataBroken},
		{"ignition-etc", "a config replaces defaults of /etc, its groups exist, and what it removes stays away", ignitionEtc},
	} {
		suite.Register(suite.Test{
			Name: test.name, Native: true, Needs: append(slices.Clip(suite.Host), suite.ConfigCtl), Machines: 1, Limit: 10 * time.Minute,
			Does: test.does, Run: test.run,
		})
	}
}

// says runs a command that fails, and wants each text once in what it says.
func says(t *suite.T, m *machine.Machine, command string, want ...string) {
	t.Helper()
	out := t.Fails(m, command+" 2>&1")
	for _, text := range want {
		if strings.Count(out, text) != 1 {
			t.Errorf("%s says:\n%s\nwant once: %s", command, out, text)
		}
	}
}

func accounts(t *suite.T) {
	m := running(t)
	config := func(text string) { t.Run(m, "cat >/root/config.yml <<'END'\n#cloud-config\n"+text+"END") }
	const apply = "coreos-cloudinit -from-file /root/config.yml"

	config("users:\n- {name: elroy, groups: [sudo, wizards, wheel], ssh_authorized_keys: [" + exampleKey + "]}\n" +
		"- {name: ada.lovelace, groups: 'sudo,docker', ssh_authorized_keys: [" + exampleKey + "]}\n")
	says(t, m, apply, "user elroy: there is no group wizards on this machine; left out")
	t.Equal("elroy", t.Run(m, "id -nG elroy | xargs -n1 | sort | xargs; cut -d' ' -f3 /home/elroy/.ssh/authorized_keys.d/*"), "elroy sudo wheel\nop@example.com")
	t.Equal("elroy as root", t.Run(m, "setpriv --reuid=elroy --regid=elroy --init-groups sudo -n id -u"), "0")
	t.Equal("ada.lovelace", t.Run(m, "id -nG ada.lovelace | xargs -n1 | sort | xargs; cut -d' ' -f3 /home/ada.lovelace/.ssh/authorized_keys.d/*"), "ada.lovelace docker sudo\nop@example.com")
	says(t, m, apply, "wizards") // and again the same

	t.Run(m, "ssh-keygen -q -t ed25519 -N '' -f /root/ops && { echo '#cloud-config'; echo 'ssh_authorized_keys:'; echo \"- $(cat /root/ops.pub)\"; } >/root/config.yml")
	login := "ssh -i /root/ops -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null core@127.0.0.1 id -un"
	t.Fails(m, login)
	t.Run(m, apply+" -ssh-key-name=ops")
	t.Equal("login by a key of another name", t.Run(m, login+" 2>/dev/null"), "core")

	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api":
			fmt.Fprintf(w, `[{"id": 1, "key": %q}]`, exampleKey)
		case "/page":
			fmt.Fprint(w, "<!DOCTYPE html>\n<html>\n<body>\nssh-rsa AAAA\n</body>\n</html>\n")
		default:
			http.NotFound(w, r)
		}
	})
	url := "http://" + machine.HostInMachine + ":" + port(server)
	config("users:\n- {name: by-api, coreos_ssh_import_url: " + url + "/api}\n- {name: by-page, coreos_ssh_import_url: " + url + "/page}\n")
	says(t, m, apply, "user by-page: keys of "+url+"/page: it is an HTML or XML page")
	t.Equal("imported keys", t.Run(m, "cat /home/by-api/.ssh/authorized_keys.d/*; ls -A /home/by-page/.ssh 2>/dev/null || true"), exampleKey)

	config("write_files:\n- {path: /opt/binary, content: !!binary aGVsbG8K}\n- {path: /usr/x, content: y}\n")
	says(t, m, apply, "write_files[1]", "the file is left out")
	t.Equal("a binary text", t.Run(m, "cat /opt/binary"), "hello")

	t.Run(m, `printf '#!/bin/sh\r\necho ran >/run/windows\r\n' >/root/config.yml && mkfifo /run/windows && `+apply+" 2>/dev/null >&2; cat /run/windows")
	imageAccounts(t, m)
	leases(t, m)
}

// leases hands names over by DHCP: one that is too long for the kernel, and bad ones, which change
// nothing.
func leases(t *suite.T, m *machine.Machine) {
	const long = "gke-cluster-1-default-pool-0a1b2c3d-xyz9.europe-west1-b.c.a-project-of-ours.internal"
	t.Run(m, "rm -f /etc/hostname")
	for _, name := range []string{long, "a..b", "-a", "a-", "a.-b", "a_b", ""} {
		t.Equal("hostname of a lease with "+name, t.Run(m, "echo 'HOSTNAME="+name+"' >/run/systemd/netif/leases/0 && /usr/lib/coreos/dhcp-hostname && cat /proc/sys/kernel/hostname"),
			"gke-cluster-1-default-pool-0a1b2c3d-xyz9")
	}
}

// imageAccounts checks that the machine has what configctl believes it to have.
func imageAccounts(t *suite.T, m *machine.Machine) {
	users, groups, shells := ignition.Image()
	for database, names := range map[string][]string{"passwd": users, "group": groups} {
		t.Equal("of "+database+" are not there", t.Run(m, "for n in "+strings.Join(names, " ")+"; do getent "+database+" $n >/dev/null || echo $n; done"), "")
	}
	t.Equal("shells are not there", t.Run(m, "for n in "+strings.Join(shells, " ")+"; do [ -x $n ] || echo $n; done"), "")
}

// faultyDroplet is a document of DigitalOcean with a MAC address and a mask that are none, and a
// name that is too long for the kernel.
const faultyDroplet = `{
  "hostname": "gke-cluster-1-default-pool-0a1b2c3d-xyz9.europe-west1-b.c.a-project-of-ours.internal",
  "public_keys": ["` + exampleKey + `", "<html>"],
  "interfaces": {
    "public": [{"mac": "unknown", "ipv4": {"ip_address": "203.0.113.7", "netmask": "255.0.255.0"}, "ipv6": {"ip_address": "2001:db8::7", "cidr": 64}}],
    "private": [{"mac": "04:01:2a:0f:2a:02", "ipv4": {"ip_address": "10.132.0.7", "netmask": "255.255.0.0"}}]}}`

const faultyUserData = `#cloud-config
coreos:
  units:
    - name: advertise.service
      command: start
      content: |
        [Service]
        Type=oneshot
        EnvironmentFile=/etc/environment
        ExecStart=/bin/sh -c 'echo ${COREOS_PUBLIC_IPV4} ${COREOS_PRIVATE_IPV4} ${COREOS_PUBLIC_IPV6} >/opt/addresses'
`

func metadataFaulty(t *suite.T) {
	m := instance(t, "DigitalOcean", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metadata/v1.json":
			fmt.Fprint(w, faultyDroplet)
		case "/metadata/v1/user-data":
			fmt.Fprint(w, faultyUserData)
		default:
			http.NotFound(w, r)
		}
	})
	t.Shows(m, `metadata: error: SSH keys: "<html>": want a line of authorized_keys`)
	healthy(t, m)
	t.Run(m, "systemctl start metadata-cloudinit.service || true")
	t.Equal("addresses of the unit", t.Run(m, "cat /opt/addresses"), "203.0.113.7 10.132.0.7 2001:db8::7")
	t.Equal("hostname", t.Run(m, "cat /etc/hostname /proc/sys/kernel/hostname"), "gke-cluster-1-default-pool-0a1b2c3d-xyz9\ngke-cluster-1-default-pool-0a1b2c3d-xyz9")
	t.Equal("keys of core", t.Run(m, "cat /home/core/.ssh/authorized_keys.d/*"), exampleKey)
	says(t, m, "coreos-cloudinit -oem=auto", `network: warning: interfaces.public[0]: not valid: "unknown" is not a MAC address`, `SSH keys: "<html>"`)
	says(t, m, "coreos-cloudinit -oem=auto -convert-netconf=digitalocean", `network: error: interfaces.public[0]: not valid: "unknown" is not a MAC address; the network is ignored`)
}

// userDataBroken has a config that breaks off, and after that one that begins with a byte order mark.
func userDataBroken(t *suite.T) {
	var userData atomic.Value
	userData.Store("{\n \"ignition\": {\"version\": \"3.4.0\"},\n}\n")
	others := metadataOfEC2()
	m := instance(t, "Amazon EC2", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/user-data") && r.Header.Get("X-aws-ec2-metadata-token") == "a-token" {
			fmt.Fprint(w, userData.Load())
			return
		}
		others(w, r)
	})
	t.Shows(m, `line 3, column 1: it is JSON that breaks off or is not valid here`)
	t.Shows(m, `this machine is not provisioned`)
	userData.Store("\xef\xbb\xbf#cloud-config\nhostname: mended\n")
	m.Restarts()
	t.Shows(m, `begins with a byte order mark \(BOM`)
	t.Shows(m, `this machine is not provisioned`)
	userData.Store("#cloud-config\nhostname: mended\n")
	m.Restarts()
	healthy(t, m)
	t.Run(m, "systemctl start metadata-cloudinit.service")
	t.Equal("hostname", t.Run(m, "cat /etc/hostname"), "mended")
}

// ignitionEtcText writes defaults of the slot without overwrite, as configs for Container Linux do.
const ignitionEtcText = `variant: flatcar
version: 1.1.0
passwd:
  groups:
    - name: plugdev
      should_exist: false
  users:
    - name: games
      should_exist: false
    - name: sys
      should_exist: false
    - name: elroy
      groups: [sudo, wheel, rkt, docker]
    - name: ada.lovelace
storage:
  files:
    - path: /etc/docker/daemon.json
      contents: {inline: '{"log-driver": "journald"}'}
    - path: /etc/motd
      contents: {inline: welcome}
    - path: /etc/hosts
      contents: {inline: 127.0.0.1 localhost ours}
    - path: /etc/environment
      contents: {inline: A=b}
    - path: /etc/locale.conf
      append: [{inline: "LC_TIME=C.UTF-8"}]
    - path: /etc/sysctl.d/90-ours.conf
      contents: {inline: ""}
  links:
    - path: /etc/localtime
      target: ../usr/share/zoneinfo/Europe/Berlin
`

func ignitionEtc(t *suite.T) {
	config := machine.Config{Name: "ours", Ignition: filepath.Join(t.Dir, "config.ign")}
	translate(t, ignitionEtcText, config.Ignition)
	m := boot(t, config)
	t.Shows(m, "the user sys is removed; its home /dev stays")
	t.Shows(m, "Ignition has provisioned the machine")
	healthy(t, m)
	check := func() {
		t.Helper()
		for command, want := range map[string]string{
			"docker info --format '{{.LoggingDriver}}'": "journald",
			"cat /etc/motd":                                               "welcome",
			"getent hosts ours | cut -d' ' -f1":                           "127.0.0.1",
			"cat /etc/environment":                                        "A=b",
			"cat /etc/locale.conf":                                        "LANG=C.UTF-8\nLC_TIME=C.UTF-8",
			"readlink /etc/localtime":                                     "../usr/share/zoneinfo/Europe/Berlin",
			"id -nG elroy | xargs -n1 | sort | xargs":                     "docker elroy rkt sudo wheel",
			"id -un ada.lovelace":                                         "ada.lovelace",
			"getent group plugdev; getent passwd games sys | cut -d: -f1": "",
		} {
			t.Equal(command, t.Run(m, command+" || true"), want)
		}
	}
	check()
	t.Run(m, "systemd-sysusers") // as after an update
	check()
	reboot(t, m)
	check()
}
