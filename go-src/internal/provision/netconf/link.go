package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// kind is the kind of an interface.
type kind string

const (
	physical kind = ""
	bond     kind = "bond"
	vlan     kind = "vlan"
)

// link is an interface with its configuration.
type link struct {
	// at is the position in the metadata, such as "line 4".
	at string
	// label is the name in the metadata. It is the name of the interface, except for a
	// physical one with a MAC address.
	label string
	kind  kind
	// mac identifies a physical interface, and is assigned to any other.
	mac net.HardwareAddr
	mtu int

	dhcp4, dhcp6 bool
	ra           advertisements
	addresses    []netip.Prefix
	routes       []route
	dns          []netip.Addr
	domains      []string

	// bond is the bond that the link belongs to. primary says that the bond prefers it.
	bond    *link
	primary bool
	// options are the options of a bond, by their names in systemd-networkd.
	options map[string]string
	// on is the link below a VLAN, and the VLAN has that number.
	on *link
	id int
}

// advertisements says how to handle router advertisements of IPv6.
type advertisements int

const (
	// asAlways accepts them, unless the link is configured completely without.
	asAlways advertisements = iota
	taken
	refused
)

// route is a route to a network. Without a gateway, the network is on the link.
type route struct {
	to  netip.Prefix
	via netip.Addr
	// metric is 0 if the metadata has none.
	metric uint32
}

func (r route) isDefault() bool { return r.to.Bits() == 0 }

// idle reports whether the link is to be up without an address.
func (l *link) idle() bool {
	return !l.dhcp4 && !l.dhcp6 && l.ra != taken && len(l.addresses) == 0 && len(l.routes) == 0
}

func newRoute(to netip.Prefix, via netip.Addr, metric uint32) (route, error) {
	if !to.IsValid() || to.Addr().Is4In6() {
		return route{}, errors.New("want a route's destination with its length, such as 10.0.0.0/8")
	}
	if via = via.Unmap(); via.IsValid() {
		switch {
		case via.Zone() != "":
			return route{}, fmt.Errorf("gateway %v%%…: want an address without a zone", via.WithZone(""))
		case via.Is4() != to.Addr().Is4():
			return route{}, fmt.Errorf("route to %v by %v: want both of IPv4 or both of IPv6", to, via)
		case via.IsUnspecified() || via.IsMulticast():
			return route{}, fmt.Errorf("gateway %v: want the address of a machine", via)
		}
	} else if to.Bits() == 0 {
		return route{}, fmt.Errorf("the route to %v has no gateway", to)
	}
	return route{to.Masked(), via, metric}, nil
}

// addAddress adds the address of a host. It refuses 0.0.0.0, for which systemd-networkd
// would choose an address.
func (l *link) addAddress(p netip.Prefix) error {
	a := p.Addr()
	if !p.IsValid() || p.Bits() == 0 || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("address %v: want the address of a machine, with its network's length", p)
	}
	return appendNew(&l.addresses, maxAddresses, p)
}

func (l *link) addRoute(to netip.Prefix, via netip.Addr, metric uint32) error {
	r, err := newRoute(to, via, metric)
	if err != nil {
		return err
	}
	return appendNew(&l.routes, maxRoutes, r)
}

// addDefault adds a default route of IPv4 or IPv6.
func (l *link) addDefault(via netip.Addr, metric uint32) error {
	everywhere := netip.IPv6Unspecified()
	if via.Unmap().Is4() {
		everywhere = netip.IPv4Unspecified()
	}
	return l.addRoute(netip.PrefixFrom(everywhere, 0), via, metric)
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%.80q: want an IP address", text)
	}
	return a.Unmap(), nil
}

// parseNet parses an address with its prefix length, or with a separate mask or length.
// Without any of these the length is bits, unless that is negative.
func parseNet(text, mask string, bits int) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() {
			return prefix, fmt.Errorf("%.80q: want an IP address with a length, such as 10.0.0.2/24", text)
		}
		return prefix, nil
	}
	a, err := parseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if mask != "" {
		if bits, err = maskBits(mask, a.BitLen()); err != nil {
			return netip.Prefix{}, &maskError{err}
		}
	}
	if bits < 0 {
		return netip.Prefix{}, fmt.Errorf("%.80q: want its network's mask or length, too", text)
	}
	return netip.PrefixFrom(a, bits), nil
}

// maskError is an error in a mask, which has its own position in the metadata.
type maskError struct{ error }

func isMaskError(err error) bool {
	var mask *maskError
	return errors.As(err, &mask)
}

// maskBits returns the prefix length of a mask such as 255.255.255.0 or ffff::, or of a
// number, for addresses of size bits.
func maskBits(mask string, size int) (int, error) {
	if bits, err := strconv.ParseUint(mask, 10, 8); err == nil && int(bits) <= size {
		return int(bits), nil
	}
	if a, err := netip.ParseAddr(mask); err == nil && a.Zone() == "" && a.BitLen() == size {
		if ones, of := net.IPMask(a.AsSlice()).Size(); of == size {
			return ones, nil
		}
	}
	return 0, fmt.Errorf("%.80q: want a network mask, or a length of at most %d", mask, size)
}

func parseMAC(text string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q: want a MAC address", text)
	}
	return mac, checkMAC(mac)
}

func checkMAC(mac net.HardwareAddr) error {
	if len(mac) != 6 || mac[0]&1 != 0 || slices.Equal(mac, make(net.HardwareAddr, 6)) {
		return fmt.Errorf("%v: want the MAC address of an Ethernet interface", mac)
	}
	return nil
}

// Limits of an MTU: IPv4 needs 68, and the kernel uses 16 bits.
const minMTU, maxMTU = 68, 65535

func parseMTU(text string) (int, error) { return parseNumber(text, minMTU, maxMTU) }

// parseID parses the number of a VLAN. 0 and 4095 are reserved.
func parseID(text string) (int, error) { return parseNumber(text, 1, 4094) }

// maxMetric is the limit of the metric of a route.
const maxMetric = 1 << 31

func parseNumber(text string, from, to uint64) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < from || n > to {
		return 0, fmt.Errorf("%.80q: want a number from %d to %d", text, from, to)
	}
	return int(n), nil
}

// checkName accepts a name that the kernel permits for an interface and that has no special
// meaning in systemd-networkd or in a file name.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > 15 || strings.ContainsFunc(name, notInName),
		strings.Trim(name, "0123456789") == "", strings.Trim(name, ".") == "",
		name == "all" || name == "default" || name == "lo":
		return fmt.Errorf("%.80q: want the name of an interface: at most 15 letters, digits, and any of . _ - +", name)
	}
	return nil
}

func notInName(r rune) bool { return !isWord(r) && !strings.ContainsRune("._-+", r) }

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// checkDomain accepts a search domain.
func checkDomain(name string) error {
	name = strings.TrimSuffix(name, ".")
	ok := len(name) <= 253
	for label := range strings.SplitSeq(name, ".") {
		ok = ok && label != "" && len(label) <= 63 && !strings.HasPrefix(label, "-") && !strings.HasSuffix(label, "-") &&
			!strings.ContainsFunc(label, func(r rune) bool { return !isWord(r) && r != '-' && r != '_' })
	}
	if !ok {
		return fmt.Errorf("%.80q: want a domain, such as example.com", name)
	}
	return nil
}

// macLabel returns the label of a link that is identified by its MAC address and has no
// name.
func macLabel(mac net.HardwareAddr) string { return strings.ReplaceAll(mac.String(), ":", "-") }

// appendNew appends a value unless the list has it.
func appendNew[T comparable](to *[]T, most int, value T) error {
	switch {
	case slices.Contains(*to, value):
	case len(*to) == most:
		return fmt.Errorf("want at most %d of this kind", most)
	default:
		*to = append(*to, value)
	}
	return nil
}
