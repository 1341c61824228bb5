package blackbox

import (
	"fmt"
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
