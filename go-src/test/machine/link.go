package machine

import (
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
)

// The network on which each machine reaches the host, with the addresses that QEMU's user
// network has, and no other machine.
const (
	userBridge    = "user"
	userPrefix    = "10.0.2."
	HostInMachine = userPrefix + "2" // the host's loopback, to machines in QEMU
)

// The network of machines of a lab that have no IPv4.
const (
	ipv6Bridge        = "user6"
	ipv6Prefix        = "fd0c:0:0:1:"
	HostInMachineIPv6 = ipv6Prefix + ":2"
)

// Network is a network of machines, which the host is not on.
type Network struct {
	group  string // in QEMU: a multicast group on the host's loopback, with a port that nobody else uses
	bridge string // on the host's kernel
}

// number makes names and addresses unique.
var number atomic.Int32

// NewNetwork makes a network for machines in QEMU.
func NewNetwork() (*Network, error) {
	port, err := freePort()
	return &Network{group: fmt.Sprintf("230.0.0.1:%d,localaddr=127.0.0.1", port)}, err
}

// NewNetwork makes a network for machines of the lab.
func (l *Lab) NewNetwork() (*Network, error) {
	n := &Network{bridge: fmt.Sprintf("br%d", number.Add(1))}
	return n, ip("link add "+n.bridge+" type bridge", "link set "+n.bridge+" up")
}

// ip runs commands of ip(8).
func ip(commands ...string) error {
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s: %s", err, strings.Join(commands, "; "), strings.TrimSpace(string(out)))
	}
	return nil
}

// wire is a machine's network namespace with its interfaces.
type wire struct {
	namespace string
	ends      []string // of the interfaces, in the tests' own namespace
}

// newWire makes the namespace: eth0 on the host's network, a bridge, and eth1 on the tests' where
// there is one.
func newWire(name, bridge, userMAC string, network *Network, mac string) (*wire, error) {
	w := &wire{namespace: name, ends: []string{name + "u"}}
	commands := []string{
		"netns add " + name,
		fmt.Sprintf("link add %su type veth peer name eth0 address %s netns %s", name, userMAC, name),
		fmt.Sprintf("link set %su master %s", name, bridge),
		fmt.Sprintf("link set %su type bridge_slave isolated on", name), // from other machines
		fmt.Sprintf("link set %su up", name),
	}
	if network != nil {
		w.ends = append(w.ends, name+"n")
		commands = append(commands,
			fmt.Sprintf("link add %sn type veth peer name eth1 address %s netns %s", name, mac, name),
			fmt.Sprintf("link set %sn master %s", name, network.bridge),
			fmt.Sprintf("link set %sn up", name))
	}
	return w, ip(commands...)
}

// plug connects the interface on the tests' network to the others, or to nobody. The
// interface keeps its carrier, as on a switch that fails.
func (w *wire) plug(network *Network, in bool) error {
	if network == nil {
		return fmt.Errorf("%s is on no network", w.namespace)
	}
	if in {
		return ip(fmt.Sprintf("link set %sn master %s", w.namespace, network.bridge))
	}
	return ip(fmt.Sprintf("link set %sn nomaster", w.namespace))
}

// remove takes the namespace away; the kernel removes its interfaces a little later.
func (w *wire) remove() error {
	var commands []string
	for _, end := range w.ends {
		commands = append(commands, "link del "+end)
	}
	return ip(append(commands, "netns del "+w.namespace)...)
}

// userMAC is the address of a machine's interface on the user network.
func userMAC(n int32) string { return fmt.Sprintf("52:54:00:0a:%02x:%02x", n>>8, n&255) }
