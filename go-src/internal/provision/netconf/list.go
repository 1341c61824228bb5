package netconf

import (
	"fmt"
	"net/netip"

	"coreos/internal/provision/datasource"
)

// listBond are the options of bonds of Packet, which its switches expect. Other platforms
// with such a list have no bonds.
var listBond = map[string]string{"miimon": "200", "updelay": "200", "downdelay": "200", "lacp-rate": "fast"}

// readList reads a list of interfaces into the plan.
func readList(p *plan, n *datasource.Network) error {
	for i := range n.Nameservers {
		a, err := plainAddr(n.Nameservers[i])
		if err != nil {
			return fmt.Errorf("name server %d: %w", i, err)
		}
		if err := appendNew(&p.dns, maxNames, a); err != nil {
			return fmt.Errorf("name servers: %w", err)
		}
	}
	for _, domain := range n.Domains {
		err := checkDomain(domain)
		if err == nil {
			err = appendNew(&p.domains, maxNames, domain)
		}
		if err != nil {
			return fmt.Errorf("search domains: %w", err)
		}
	}
	links := make([]*link, len(n.Interfaces))
	for i := range n.Interfaces {
		at := fmt.Sprintf("interface %d", i)
		l, err := listLink(&n.Interfaces[i])
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if l.idle() && l.kind == physical && n.Interfaces[i].Bond == "" {
			p.warn(at, "%s has neither addresses nor DHCP, and is left alone", l.label)
			continue
		}
		l.at = at
		if err := p.add(l); err != nil {
			return err
		}
		links[i] = l
	}
	return listBonds(p, n, links)
}

func listBonds(p *plan, n *datasource.Network, links []*link) error {
	for i, l := range links {
		name := n.Interfaces[i].Bond
		if l == nil || name == "" {
			continue
		}
		to := p.find(name)
		if to == nil {
			return fmt.Errorf("%s: there is no bond %.80q", l.at, name)
		}
		if err := l.enslave(to); err != nil {
			return fmt.Errorf("%s: %w", l.at, err)
		}
	}
	return nil
}

func listLink(i *datasource.Interface) (*link, error) {
	l := &link{label: i.Name, mac: i.MAC, dhcp4: i.DHCP, dhcp6: i.DHCP}
	if i.MAC != nil {
		if err := checkMAC(i.MAC); err != nil {
			return nil, err
		}
	}
	if i.BondMode != "" {
		l.kind = bond
		if _, err := l.setOption("mode", i.BondMode); err != nil {
			return nil, err
		}
		l.setDefaults(listBond)
	}
	if l.label == "" && i.MAC != nil && l.kind == physical {
		l.label = macLabel(i.MAC)
	} else if err := checkName(l.label); err != nil {
		return nil, err
	}
	for _, address := range i.Addresses {
		if err := l.addAddress(address); err != nil {
			return nil, err
		}
	}
	for _, each := range i.Routes {
		if err := l.addRoute(each.Destination, each.Gateway, 0); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// plainAddr refuses an address with a zone, which may contain any character.
func plainAddr(a netip.Addr) (netip.Addr, error) {
	if !a.IsValid() || a.Zone() != "" {
		return a, fmt.Errorf("%q: want an IP address without a zone", a.String())
	}
	return a.Unmap(), nil
}
