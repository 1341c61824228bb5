package datasource

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Network is the network configuration of the platform, in the forms that the platform
// uses. Most platforms have none.
type Network struct {
	// Debian is the text of an interfaces(5) file, from a config drive.
	Debian []byte
	// OpenStack is the text of an OpenStack network_data.json.
	OpenStack []byte
	// Interfaces are the interfaces, with these name servers and search domains.
	// DigitalOcean, Packet and VMware have them.
	Interfaces  []Interface
	Nameservers []netip.Addr
	Domains     []string
	// Problem names an entry that is not valid. What has it is missing here: Debian, or the
	// interfaces.
	Problem error
}

// Interface is a network interface. A physical one is identified by its MAC address, or by
// its name if it has none.
type Interface struct {
	Name string
	MAC  net.HardwareAddr
	DHCP bool
	// Addresses have the prefix length of their network.
	Addresses []netip.Prefix
	Routes    []Route
	// Bond is the name of the bond that the interface belongs to.
	Bond string
	// BondMode, if it is set, says that the interface is a bond to create, and is its mode:
	// "802.3ad", "active-backup" or another one of the kernel.
	BondMode string
}

// Route is a route to a network.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
}

func parseAddress(what, text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return netip.Addr{}, nil
	}
	address, err := netip.ParseAddr(text)
	// A zone may have any characters, also those that mean something where the address is written.
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%w: %s: %.80q is not an IP address", ErrInvalid, what, text)
	}
	return address, nil
}

// setFirst sets an address unless it is set already.
func setFirst(known *netip.Addr, address netip.Addr) {
	if !known.IsValid() {
		*known = address
	}
}

// defaultRoute returns the default route of IPv4 or IPv6 through a gateway.
func defaultRoute(gateway netip.Addr) Route {
	everywhere := netip.IPv6Unspecified()
	if gateway.Is4() {
		everywhere = netip.IPv4Unspecified()
	}
	return Route{netip.PrefixFrom(everywhere, 0), gateway}
}

func parseMAC(text string) (net.HardwareAddr, error) {
	if text == "" {
		return nil, nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %.80q is not a MAC address", ErrInvalid, text)
	}
	return mac, nil
}

// parsePrefix parses an address with a mask, if there is one, or else a prefix length.
func parsePrefix(address, mask, bits looseText) (netip.Prefix, error) {
	a, err := parseAddress("address", string(address))
	if err != nil {
		return netip.Prefix{}, err
	}
	if mask != "" {
		m, err := parseAddress("netmask", string(mask))
		if err != nil {
			return netip.Prefix{}, err
		}
		return maskedPrefix(a, m)
	}
	size, err := strconv.Atoi(string(bits))
	if bits != "" && err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: the prefix length of %v is %.80q", ErrInvalid, a, bits)
	}
	return sizedPrefix(a, size)
}

// add adds an interface. If one is not valid, there are none.
func (n *Network) add(entry string, parse func() (Interface, error)) {
	set, err := parse()
	if n.fail(entry, err); n.Problem != nil {
		n.Interfaces = nil
		return
	}
	n.Interfaces = append(n.Interfaces, set)
}

// nameservers adds name servers.
func (n *Network) nameservers(entry string, servers []looseText) {
	for i, text := range servers {
		server, err := parseAddress(fmt.Sprintf("%s[%d]", entry, i), string(text))
		if n.fail("name servers", err); server.IsValid() {
			n.Nameservers = append(n.Nameservers, server)
		}
	}
}

func sizedPrefix(address netip.Addr, bits int) (netip.Prefix, error) {
	prefix := netip.PrefixFrom(address, bits)
	if !prefix.IsValid() {
		return prefix, fmt.Errorf("%w: the prefix length of %v is %d bits", ErrInvalid, address, bits)
	}
	return prefix, nil
}

// maskedPrefix returns the prefix of an address with a mask such as 255.255.255.0.
func maskedPrefix(address, mask netip.Addr) (netip.Prefix, error) {
	ones, size := net.IPMask(mask.AsSlice()).Size()
	if size == 0 {
		return netip.Prefix{}, fmt.Errorf("%w: %v is not a network mask", ErrInvalid, mask)
	}
	return sizedPrefix(address, ones)
}
