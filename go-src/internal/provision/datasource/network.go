package datasource

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Network is how the platform wants the network set up, in the forms that the platform
// has it in; most have none.
type Network struct {
	// Debian is the text of an interfaces(5) file, from a config drive.
	Debian []byte
	// OpenStack is the text of an OpenStack network_data.json.
	OpenStack []byte
	// Interfaces are to be set up with these name servers and search domains. They
	// are from DigitalOcean, Packet and VMware.
	Interfaces  []Interface
	Nameservers []netip.Addr
	Domains     []string
}

// Interface is a network interface. One that exists is known by its MAC address if it
// has one, else by its name.
type Interface struct {
	Name string
	MAC  net.HardwareAddr
	DHCP bool
	// Addresses have the length of their network.
	Addresses []netip.Prefix
	Routes    []Route
	// Bond is the name of the bond that the interface is a part of.
	Bond string
	// BondMode makes the interface a bond, that is created. It is one of the modes
	// of the kernel: "802.3ad", "active-backup".
	BondMode string
}

// Route is a way to a network.
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
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %s: %.80q is not an IP address", ErrInvalid, what, text)
	}
	return address, nil
}

// setFirst sets an address that is not known yet.
func setFirst(known *netip.Addr, address netip.Addr) {
	if !known.IsValid() {
		*known = address
	}
}

// defaultRoute is the way to everywhere by IPv4 or IPv6.
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

func sizedPrefix(address netip.Addr, bits int) (netip.Prefix, error) {
	prefix := netip.PrefixFrom(address, bits)
	if !prefix.IsValid() {
		return prefix, fmt.Errorf("%w: %v with a network of %d bits", ErrInvalid, address, bits)
	}
	return prefix, nil
}

// maskedPrefix has a mask such as 255.255.255.0 in place of a length.
func maskedPrefix(address, mask netip.Addr) (netip.Prefix, error) {
	ones, size := net.IPMask(mask.AsSlice()).Size()
	if size == 0 {
		return netip.Prefix{}, fmt.Errorf("%w: %v is not a network mask", ErrInvalid, mask)
	}
	return sizedPrefix(address, ones)
}
