package netconf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// unit builds the text of a file of systemd-networkd.
type unit struct {
	strings.Builder
	header string
}

func newUnit() *unit {
	u := &unit{}
	u.WriteString("# From the platform's metadata, by coreos-cloudinit at every boot.\n")
	return u
}

// section begins a section. It is left out if it stays empty.
func (u *unit) section(name string) { u.header = "\n[" + name + "]\n" }

func (u *unit) set(key string, value any) {
	u.WriteString(u.header)
	u.header = ""
	fmt.Fprintf(u, "%s=%v\n", key, value)
}

func (u *unit) setIf(wanted bool, key string, value any) {
	if wanted {
		u.set(key, value)
	}
}

// files returns the files of the plan.
func (p *plan) files() []File {
	files := []File{}
	for _, l := range p.links {
		if l.kind != physical {
			files = append(files, File{Prefix + l.label + ".netdev", l.netdev()})
		}
	}
	for _, l := range p.links {
		files = append(files, File{Prefix + l.label + ".network", p.network(l)})
	}
	return files
}

// netdev returns the file that creates an interface.
func (l *link) netdev() string {
	u := newUnit()
	u.section("NetDev")
	u.set("Name", l.label)
	u.set("Kind", string(l.kind))
	u.setIf(l.mac != nil, "MACAddress", l.mac)
	if l.kind == vlan {
		u.section("VLAN")
		u.set("Id", l.id)
		return u.String()
	}
	u.section("Bond")
	for _, key := range slices.Sorted(maps.Keys(l.options)) {
		u.set(key, l.options[key])
	}
	return u.String()
}

// network returns the file that configures an interface.
func (p *plan) network(l *link) string {
	u := newUnit()
	u.section("Match")
	if l.kind == physical && l.mac != nil {
		// VLANs and bonds may have the same MAC address as their base.
		u.set("PermanentMACAddress", l.mac)
		u.set("Kind", "!*")
	} else {
		u.set("Name", l.label)
	}
	u.section("Link")
	u.setIf(l.mtu != 0, "MTUBytes", l.mtu)
	// A link without addresses does not make the machine online.
	u.setIf(l.idle(), "RequiredForOnline", "no")
	u.section("Network")
	if l.bond != nil {
		u.set("Bond", l.bond.label)
		u.setIf(l.primary && l.bond.hasPrimary(), "PrimarySlave", "yes")
	}
	for _, above := range p.links {
		u.setIf(above.on == l, "VLAN", above.label)
	}
	l.addressing(u)
	return u.String()
}

// hasPrimary reports whether the mode of a bond supports a preferred member.
func (l *link) hasPrimary() bool {
	return slices.Contains([]string{"active-backup", "balance-tlb", "balance-alb"}, l.options["Mode"])
}

func (l *link) addressing(u *unit) {
	if l.idle() {
		u.setIf(l.bond == nil, "LinkLocalAddressing", "no")
		u.setIf(l.bond == nil, "IPv6AcceptRA", "no")
		return
	}
	if l.dhcp4 || l.dhcp6 {
		u.set("DHCP", map[[2]bool]string{{true, false}: "ipv4", {false, true}: "ipv6", {true, true}: "yes"}[[2]bool{l.dhcp4, l.dhcp6}])
		u.set("KeepConfiguration", "dhcp-on-stop")
	}
	u.setIf(l.ra == taken, "IPv6AcceptRA", "yes")
	u.setIf(l.ra == refused || l.ra == asAlways && l.knowsIPv6(), "IPv6AcceptRA", "no")
	for _, address := range l.addresses {
		u.set("Address", address)
	}
	for _, server := range l.dns {
		u.set("DNS", server)
	}
	u.setIf(len(l.domains) > 0, "Domains", strings.Join(l.domains, " "))
	// As in zz-default.network.
	for _, section := range []struct {
		name   string
		wanted bool
	}{{"DHCPv4", l.dhcp4}, {"DHCPv6", l.dhcp6}, {"IPv6AcceptRA", l.ra == taken}} {
		u.section(section.name)
		u.setIf(section.wanted, "UseDomains", "yes")
	}
	for _, r := range l.routes {
		l.route(u, r)
	}
}

// knowsIPv6 reports whether a link has an IPv6 address and a default route, so that it
// needs no router advertisements.
func (l *link) knowsIPv6() bool {
	return !l.dhcp6 && slices.ContainsFunc(l.addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) &&
		slices.ContainsFunc(l.routes, func(r route) bool { return r.isDefault() && r.to.Addr().Is6() })
}

func (l *link) route(u *unit, r route) {
	u.section("Route")
	u.set("Destination", r.to)
	u.setIf(r.via.IsValid(), "Gateway", r.via)
	u.setIf(r.via.IsValid() && l.isOutside(r.via), "GatewayOnLink", "yes")
	u.setIf(r.metric != 0, "Metric", r.metric)
}

// isOutside reports whether a gateway is in none of the networks of a link with only static
// addresses. Some platforms have such gateways, which the kernel must be told.
func (l *link) isOutside(via netip.Addr) bool {
	if via.IsLinkLocalUnicast() || via.Is4() && l.dhcp4 || via.Is6() && (l.dhcp6 || l.ra == taken) {
		return false
	}
	return !slices.ContainsFunc(l.addresses, func(p netip.Prefix) bool { return p.Contains(via) })
}
