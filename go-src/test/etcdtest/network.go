package etcdtest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// MaxMembers is the number of members for which a cluster's subnet has addresses, beside
// this process.
const MaxMembers = 13

// Subnets are /28 of 198.18.0.0/15, which RFC 2544 gives to tests.
const (
	subnets    = 1 << 13
	subnetSize = 16
)

var testNetwork = netip.MustParseAddr("198.18.0.0")

// prefix begins the names of all namespaces; the process's id follows.
const prefix = "etcdtest-"

// network is a bridge in a namespace of its own, without the host's firewall. Cables
// connect it to this process's namespace and to each member's.
type network struct {
	name    string
	link    string
	subnet  int
	members int
}

// newNetwork takes the first free subnet. The search begins at a subnet that follows from
// the process's id.
func newNetwork(members int) (*network, error) {
	if members < 1 || members > MaxMembers {
		return nil, fmt.Errorf("a cluster has 1 to %d members, not %d", MaxMembers, members)
	}
	if err := reap(); err != nil {
		return nil, err
	}
	for i := range 64 {
		subnet := (os.Getpid()*64 + i) % subnets
		n := &network{
			name:    fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), subnet),
			link:    fmt.Sprintf("etcdt%d", subnet),
			subnet:  subnet,
			members: members,
		}
		// The name of the link reserves the subnet: only one process can make it.
		if err := ip("", "link add "+n.link+" type veth peer name "+n.link+"p"); err != nil {
			if strings.Contains(err.Error(), "File exists") {
				continue
			}
			return nil, err
		}
		if err := n.build(); err != nil {
			return nil, errors.Join(err, n.delete())
		}
		return n, nil
	}
	return nil, errors.New("no free subnet for a cluster: delete links etcdt* that nobody uses")
}

func (n *network) build() error {
	hub := n.name
	outside := []string{
		"netns add " + hub,
		"link set " + n.link + "p netns " + hub + " name test",
		fmt.Sprintf("address add %s/28 dev %s", n.address(-1), n.link),
		"link set " + n.link + " up",
	}
	inside := []string{"link add br0 type bridge", "link set br0 up", "link set test master br0 up"}
	for i := range n.members {
		outside = append(outside, "netns add "+n.namespace(i))
		inside = append(inside,
			fmt.Sprintf("link add m%d type veth peer name eth0 netns %s", i, n.namespace(i)),
			fmt.Sprintf("link set m%d master br0 up", i))
	}
	if err := errors.Join(ip("", outside...), ip(hub, inside...)); err != nil {
		return err
	}
	for i := range n.members {
		err := ip(n.namespace(i), "link set lo up",
			fmt.Sprintf("address add %s/28 dev eth0", n.address(i)), "link set eth0 up")
		if err != nil {
			return err
		}
	}
	return nil
}

// delete deletes the namespaces, and with them the cables.
func (n *network) delete() error {
	names := []string{n.name}
	for i := range n.members {
		names = append(names, n.namespace(i))
	}
	var failed []error
	for _, name := range names {
		failed = append(failed, ip("", "netns delete "+name))
	}
	// A namespace's links may outlive its name for a moment; the subnet is free now.
	if err := ip("", "link delete "+n.link); err != nil && !strings.Contains(err.Error(), "Cannot find device") {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (n *network) namespace(i int) string { return fmt.Sprintf("%s-m%d", n.name, i) }

// address returns the address of a member, or of this process for -1.
func (n *network) address(i int) netip.Addr {
	base := testNetwork.As4()
	offset := n.subnet*subnetSize + i + 2
	base[1] += byte(offset >> 16)
	base[2] += byte(offset >> 8)
	base[3] += byte(offset)
	return netip.AddrFrom4(base)
}

func (n *network) url(i, port int) string { return fmt.Sprintf("http://%s:%d", n.address(i), port) }

func (n *network) unplug(i int) error { return ip(n.name, fmt.Sprintf("link set m%d down", i)) }

// cut makes both sides drop what they send to each other.
func (n *network) cut(i int) error { return n.routes(i, "replace") }

// routes adds or deletes the routes that lead nowhere.
func (n *network) routes(i int, verb string) error {
	var own []string
	for j := range n.members {
		if j == i {
			continue
		}
		own = append(own, fmt.Sprintf("route %s blackhole %s", verb, n.address(j)))
		if err := ip(n.namespace(j), fmt.Sprintf("route %s blackhole %s", verb, n.address(i))); err != nil {
			return err
		}
	}
	return ip(n.namespace(i), own...)
}

func (n *network) rejoin(i int) error {
	// The route is added before it is deleted, so that it does not matter whether it
	// existed.
	return errors.Join(ip(n.name, fmt.Sprintf("link set m%d up", i)), n.routes(i, "replace"), n.routes(i, "delete"))
}

// ip runs lines of ip(8) in a namespace, or in this process's own for "".
func ip(namespace string, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-netns", namespace}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip, in namespace %q: %w: %s (of: %s)", namespace, err, out, strings.Join(lines, "; "))
	}
	return nil
}

// reap deletes what killed test processes have left behind.
func reap() error {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), prefix)
		id, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(id)
		if !ours || err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		// Another process may do the same now.
		if err := ip("", "netns delete "+entry.Name()); err != nil && !strings.Contains(err.Error(), "No such file") {
			return err
		}
	}
	return nil
}
