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
	suite.Register(suite.Test{
		Name: "network", Native: true, Needs: suite.Host, Machines: 2, Limit: 5 * time.Minute,
		Does: "two machines on one virtual network reach each other, not while one is unplugged, with ids and host keys of their own",
		Run:  network,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "no-name-server", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "without a name server, or with one that does not answer, the machine boots as fast and says what it lacks",
		Run:  noNameServer,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "ipv6-only", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "a machine on a network without IPv4 boots, pulls an image, asks for updates",
		Run:  ipv6Only,
	})
}

func network(t *suite.T) {
	network := t.Network()
	var machines []*machine.Machine
	for i := range 2 {
		machines = append(machines, boot(t, machine.Config{Name: fmt.Sprintf("node%d", i+1), Network: network}))
	}
	var identities []string
	for i, m := range machines {
		t.Must(m.WaitSSH(t.Context))
		t.Run(m, fmt.Sprintf(`link=$(ip -o link | sed -n 's/^[0-9]*: \([^:@]*\)[:@].*%s.*/\1/p') && ip address add 192.0.2.%d/24 dev $link`, m.MAC(), i+1))
		identities = append(identities, t.Run(m, "cat /etc/machine-id /etc/ssh/*.pub"))
	}
	t.Run(machines[0], "ping -c 1 -W 10 192.0.2.2")
	t.Run(machines[1], "ping -c 1 -W 10 192.0.2.1")
	t.Must(machines[0].Unplug())
	t.Fails(machines[1], "ping -c 1 -W 2 192.0.2.1")
	t.Must(machines[0].Plug())
	t.Run(machines[1], "ping -c 1 -W 10 192.0.2.1")
	if identities[0] == identities[1] {
		t.Error("two machines from one image have the same id and host keys")
	}
}

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
	asked := make(chan string, 1)
	server := serveAt(t, t.ListenIPv6(), func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default: // it has asked before
		}
		http.NotFound(w, r)
	})
	t.Run(m, fmt.Sprintf("printf 'SERVER=http://%s/v1/update/\\n' >/etc/coreos/update.conf && systemctl restart update-engine.service && { update_engine_client -update || true; }", server))
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
