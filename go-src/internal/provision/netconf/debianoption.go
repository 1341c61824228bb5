package netconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// settings are the options of a stanza. Some have a meaning only together with others.
type settings struct {
	*debian
	*iface
	*stanza
	addresses []line
	gateways  []netip.Addr
	mask      line
	metric    uint32
}

// unused are options that follow from others, or that the kernel chooses.
var unused = []string{
	"broadcast", "network", "scope", "autoconf", "privext", "dad-attempts", "dad-interval", "preferred-lifetime",
	"down", "pre-down", "post-down",
}

// option reads an option. It adds a warning for an option that has no effect.
func (s *settings) option(o line) error {
	name := strings.ReplaceAll(o.words[0], "_", "-")
	if known, err := readNames(&s.link.dns, &s.link.domains, o); known {
		return err
	}
	if slices.Contains(unused, name) {
		return nil
	}
	if slices.Contains([]string{"up", "pre-up", "post-up"}, name) {
		return s.command(o)
	}
	if len(o.words) == 1 {
		o.words = append(o.words, "")
	}
	value := o.words[1]
	if known, err := s.address(name, o); known {
		return err
	}
	if known, err := s.connection(name, o.words[1:]); known {
		return err
	}
	switch name {
	case "mtu":
		mtu, err := parseMTU(value)
		s.link.mtu = mtu
		return err
	case "hwaddress":
		return s.hwaddress(o.words[1:])
	case "accept-ra":
		if s.link.ra = taken; value == "0" {
			s.link.ra = refused
		}
	default:
		s.warn(o.at(), "option %.80q is not known, and left out", o.words[0])
	}
	return nil
}

// readNames reads the options of name servers and search domains.
func readNames(dns *[]netip.Addr, domains *[]string, o line) (known bool, err error) {
	switch strings.ReplaceAll(o.words[0], "_", "-") {
	case "dns-nameservers", "dns-nameserver":
		for _, word := range o.words[1:] {
			a, err := parseAddr(word)
			if err == nil {
				err = appendNew(dns, maxNames, a)
			}
			if err != nil {
				return true, err
			}
		}
	case "dns-search", "dns-domain":
		for _, word := range o.words[1:] {
			err := checkDomain(word)
			if err == nil {
				err = appendNew(domains, maxNames, word)
			}
			if err != nil {
				return true, err
			}
		}
	default:
		return false, nil
	}
	return true, nil
}

// address reads the options of addresses, which only static interfaces have.
func (s *settings) address(name string, o line) (known bool, err error) {
	if !slices.Contains([]string{"address", "netmask", "gateway", "metric"}, name) {
		return false, nil
	}
	if s.method != "static" {
		s.warn(o.at(), "%s has no meaning with %s, and is left out", name, s.method)
		return true, nil
	}
	switch name {
	case "address":
		s.addresses = append(s.addresses, o)
	case "netmask":
		s.mask = o
	case "metric":
		var n int
		n, err = parseNumber(o.words[1], 0, maxMetric)
		s.metric = uint32(n)
	case "gateway":
		var via netip.Addr
		via, err = parseAddr(o.words[1])
		s.gateways = append(s.gateways, via)
	}
	return true, err
}

// connection reads the options of VLANs and bonds.
func (s *settings) connection(name string, values []string) (known bool, err error) {
	switch name {
	case "vlan-raw-device":
		s.iface.raw = values[0]
	case "vlan-id":
		s.iface.id = values[0]
	case "bond-master":
		s.iface.master = values[0]
	case "bond-primary":
		s.iface.primary = append(s.iface.primary, values...)
	case "bond-slaves", "slaves":
		s.iface.isBond = true
		if values[0] != "none" {
			s.iface.slaves = append(s.iface.slaves, values...)
		}
	default:
		name, ok := strings.CutPrefix(name, "bond-")
		if !ok {
			return false, nil
		}
		known, err = s.link.setOption(name, strings.Join(values, " "))
		s.iface.isBond = s.iface.isBond || known
		return known, err
	}
	return true, nil
}

// hwaddress reads the MAC address that identifies a physical interface. On a config drive
// it is the one that the platform assigned; the platform cannot know the name.
func (s *settings) hwaddress(values []string) error {
	text := values[len(values)-1]
	if len(values) > 2 || len(values) == 2 && values[0] != "ether" {
		return fmt.Errorf("%.80q: want ether and a MAC address", strings.Join(values, " "))
	}
	mac, err := parseMAC(text)
	if err != nil {
		return err
	}
	if s.link.mac != nil && !slices.Equal(s.link.mac, mac) {
		return fmt.Errorf("%v: it was %v before", mac, s.link.mac)
	}
	s.link.mac = mac
	return nil
}

// finish combines addresses, masks and gateways.
func (s *settings) finish() error {
	if s.method == "static" && len(s.addresses) == 0 {
		return fmt.Errorf("%s: interface %q is static: want an address", s.stanza.at(), s.name)
	}
	for _, o := range s.addresses {
		if err := s.place(o); isMaskError(err) {
			return fmt.Errorf("%s: netmask: %w", s.mask.at(), err)
		} else if err != nil {
			return fmt.Errorf("%s: address: %w", o.at(), err)
		}
	}
	for _, via := range s.gateways {
		if err := s.link.addDefault(via, s.metric); err != nil {
			return fmt.Errorf("%s: interface %q: %w", s.stanza.at(), s.name, err)
		}
	}
	return nil
}

// place adds an address with the mask of the stanza.
func (s *settings) place(o line) error {
	mask, bits := "", -1
	if len(s.mask.words) > 0 {
		mask = s.mask.words[1]
	}
	if s.family == "inet6" {
		bits = 64 // the default of ifupdown
	}
	p, err := parseNet(o.words[1], mask, bits)
	if err != nil {
		return err
	}
	if p.Addr().Is4() != (s.family == "inet") {
		return fmt.Errorf("%v: want an address of family %s", p.Addr(), s.family)
	}
	return s.link.addAddress(p)
}
