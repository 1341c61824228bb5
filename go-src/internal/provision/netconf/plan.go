package netconf

import (
	"fmt"
	"net/netip"
	"slices"
)

// Limits of the input. The size of the text is limited before.
const (
	maxLinks     = 256
	maxRoutes    = 1024
	maxAddresses = 1024
	// maxNames is the limit of name servers and of search domains, of a link and in total.
	maxNames    = 64
	maxWarnings = 50
)

// plan is the network of the machine.
type plan struct {
	links []*link
	// dns and domains belong to no particular link.
	dns      []netip.Addr
	domains  []string
	warnings []string
}

func (p *plan) warn(at, format string, args ...any) {
	switch len(p.warnings) {
	case maxWarnings:
	case maxWarnings - 1:
		p.warnings = append(p.warnings, "there are more warnings")
	default:
		p.warnings = append(p.warnings, at+": "+fmt.Sprintf(format, args...))
	}
}

// add adds a link. Only its at, label, kind and mac must be set yet.
func (p *plan) add(l *link) error {
	if len(p.links) == maxLinks {
		return fmt.Errorf("%s: want at most %d interfaces", l.at, maxLinks)
	}
	if other := p.find(l.label); other != nil {
		return fmt.Errorf("%s: there is another interface %q, at %s", l.at, l.label, other.at)
	}
	p.links = append(p.links, l)
	return nil
}

func (p *plan) find(label string) *link {
	i := slices.IndexFunc(p.links, func(l *link) bool { return l.label == label })
	if i < 0 {
		return nil
	}
	return p.links[i]
}

// enslave adds a link to a bond.
func (l *link) enslave(to *link) error {
	if l.bond != nil && l.bond != to {
		return fmt.Errorf("%q is a part of %q and of %q: want one bond", l.label, l.bond.label, to.label)
	}
	l.bond = to
	return nil
}

// finish checks the plan as a whole, and adds what depends on all links.
func (p *plan) finish() error {
	if err := p.bounds(); err != nil {
		return err
	}
	for _, check := range []func(*link) error{p.checkBond, p.checkVLAN, p.checkMAC} {
		for _, l := range p.links {
			if err := check(l); err != nil {
				return fmt.Errorf("%s: %w", l.at, err)
			}
		}
	}
	if err := p.checkCycles(); err != nil {
		return err
	}
	p.rank()
	return p.spread()
}

func (p *plan) bounds() error {
	routes, addresses := 0, 0
	for _, l := range p.links {
		routes += len(l.routes)
		addresses += len(l.addresses)
	}
	switch {
	case routes > maxRoutes:
		return fmt.Errorf("there are %d routes: want at most %d", routes, maxRoutes)
	case addresses > maxAddresses:
		return fmt.Errorf("there are %d addresses: want at most %d", addresses, maxAddresses)
	}
	return nil
}

func (p *plan) checkBond(l *link) error {
	if l.kind == bond {
		l.setDefaults(map[string]string{"mode": "balance-rr"})
		if l.options["ARPIntervalSec"] == "" {
			l.setDefaults(map[string]string{"miimon": monitorDefault})
		}
		if l.options["Mode"] != "802.3ad" {
			delete(l.options, "LACPTransmitRate")
		}
		p.checkParts(l)
	}
	switch {
	case l.bond == nil:
		return nil
	case l.bond == l:
		return fmt.Errorf("%q is a part of itself", l.label)
	case l.bond.kind != bond:
		return fmt.Errorf("%q is a part of %q, which is not a bond", l.label, l.bond.label)
	case l.kind == bond:
		return fmt.Errorf("the bond %q is a part of the bond %q: want interfaces", l.label, l.bond.label)
	case !l.idle():
		return fmt.Errorf("%q is a part of the bond %q, and has addresses or routes: want them at the bond", l.label, l.bond.label)
	}
	return nil
}

// checkParts gives a bond the MAC address of its first member, unless it has one, as the
// bonding driver does. systemd-networkd would generate an address, which switches may not
// know.
func (p *plan) checkParts(l *link) {
	hasParts := false
	for _, part := range p.links {
		if part.bond == l {
			if hasParts = true; l.mac == nil {
				l.mac = part.mac
			}
		}
	}
	if !hasParts {
		p.warn(l.at, "the bond %q has no parts", l.label)
	}
}

func (p *plan) checkVLAN(l *link) error {
	if l.kind != vlan {
		return nil
	}
	for _, other := range p.links {
		if other != l && other.kind == vlan && other.on == l.on && other.id == l.id {
			return fmt.Errorf("%q and %q are both VLAN %d on %q", l.label, other.label, l.id, l.on.label)
		}
	}
	return nil
}

// checkMAC checks that no two physical interfaces have the same MAC address.
func (p *plan) checkMAC(l *link) error {
	if l.kind != physical || l.mac == nil {
		return nil
	}
	for _, other := range p.links {
		if other != l && other.kind == physical && slices.Equal(other.mac, l.mac) {
			return fmt.Errorf("%q and %q have the same MAC address %v", l.label, other.label, l.mac)
		}
	}
	return nil
}

// checkCycles checks that no link is its own base, over any number of VLANs and bonds.
func (p *plan) checkCycles() error {
	parts := map[*link][]*link{}
	for _, l := range p.links {
		if l.bond != nil {
			parts[l.bond] = append(parts[l.bond], l)
		}
		if l.on != nil {
			parts[l] = append(parts[l], l.on)
		}
	}
	const under, done = 1, 2
	state := map[*link]int{}
	var visit func(*link) error
	visit = func(l *link) error {
		switch state[l] {
		case under:
			return fmt.Errorf("%s: %q is a part of itself, through other interfaces", l.at, l.label)
		case done:
			return nil
		}
		state[l] = under
		for _, part := range parts[l] {
			if err := visit(part); err != nil {
				return err
			}
		}
		state[l] = done
		return nil
	}
	for _, l := range p.links {
		if err := visit(l); err != nil {
			return err
		}
	}
	return nil
}

// spread assigns the name servers and search domains that belong to no particular link: to
// the links that reach them, or else to all that have addresses. systemd-networkd has them
// only per link, and systemd-resolved asks a server only over its link.
func (p *plan) spread() error {
	used := slices.DeleteFunc(slices.Clone(p.links), (*link).idle)
	for _, l := range p.links {
		for i := 0; l.idle() && i < len(l.dns); i++ {
			if err := appendNew(&p.dns, maxNames, l.dns[i]); err != nil {
				return fmt.Errorf("%s: name servers: %w", l.at, err)
			}
		}
	}
	if len(used) == 0 && len(p.dns) > 0 {
		p.warn("name servers", "no interface has addresses to ask them from")
	}
	asking := map[*link]bool{}
	for _, server := range p.dns {
		reaching := slices.DeleteFunc(slices.Clone(used), func(l *link) bool { return !l.reaches(server) })
		if len(reaching) == 0 {
			reaching = used
		}
		for _, l := range reaching {
			asking[l] = true
			if err := appendNew(&l.dns, maxNames, server); err != nil {
				return fmt.Errorf("%s: name servers: %w", l.at, err)
			}
		}
	}
	for _, l := range used {
		for _, domain := range p.domains {
			if len(asking) > 0 && !asking[l] {
				break
			}
			if err := appendNew(&l.domains, maxNames, domain); err != nil {
				return fmt.Errorf("%s: search domains: %w", l.at, err)
			}
		}
	}
	return nil
}

// reaches reports whether a link reaches an address, as far as that is known without DHCP.
func (l *link) reaches(a netip.Addr) bool {
	if a.Is4() && l.dhcp4 || a.Is6() && (l.dhcp6 || l.ra == taken) {
		return true
	}
	return slices.ContainsFunc(l.addresses, func(p netip.Prefix) bool { return p.Contains(a) }) ||
		slices.ContainsFunc(l.routes, func(r route) bool { return r.to.Contains(a) })
}

// rankBase is the metric of the first default route, rankStep the difference to the next.
// They are higher than the metric that the kernel gives to IPv6 routes without one.
const rankBase, rankStep = 2000, 100

// rank gives default routes without a metric different ones, in their order: the kernel
// would refuse the second of two equal ones.
func (p *plan) rank() {
	seen := map[bool]uint32{}
	for _, l := range p.links {
		for i := range l.routes {
			r := &l.routes[i]
			if !r.isDefault() || r.metric != 0 {
				continue
			}
			family := r.to.Addr().Is4()
			if n := seen[family]; n > 0 {
				r.metric = rankBase + (n-1)*rankStep
			}
			seen[family]++
		}
	}
}
