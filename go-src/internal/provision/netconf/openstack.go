package netconf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// openStack is the state of reading a network_data.json.
type openStack struct {
	*plan
	reader
	// byID are the links by their ids in the document.
	byID map[string]*link
}

// readOpenStack reads a network_data.json into the plan.
func readOpenStack(p *plan, text []byte) error {
	o := &openStack{plan: p, byID: map[string]*link{}}
	document := o.document(text)
	links := document.objects("links")
	// VLANs and bonds may precede the links that they consist of.
	for _, each := range links {
		o.link(each)
	}
	for _, each := range links {
		o.connect(each)
	}
	for _, each := range document.objects("networks") {
		o.network(each)
	}
	for _, each := range document.objects("services") {
		o.service(each, &p.dns)
	}
	return o.err
}

func (o *openStack) link(v object) {
	l := &link{at: v.path}
	mac := "ethernet_mac_address"
	switch v.text("type") {
	case "bond":
		l.kind = bond
		o.bondOptions(v, l)
	case "vlan":
		l.kind, mac = vlan, "vlan_mac_address"
		l.id = parseIn(v, "vlan_id", parseID)
	}
	if v.text(mac) != "" {
		l.mac = parseIn(v, mac, parseMAC)
	}
	if mtu := v.text("mtu"); mtu != "" && mtu != "0" {
		l.mtu = parseIn(v, "mtu", parseMTU)
	}
	id := v.text("id")
	if id == "" || o.byID[id] != nil {
		v.fail("id", id, "an identifier that no other link has")
	}
	if l.label = o.label(v, l); o.err == nil {
		o.byID[id], o.reader.err = l, o.add(l)
	}
}

// label returns the name of a link, or its id if that is a valid name, or another name. A
// physical interface without a MAC address needs its name.
func (o *openStack) label(v object, l *link) string {
	name := v.text("name")
	if l.kind == physical && l.mac == nil {
		v.failed("ethernet_mac_address", missing(name))
		return name
	}
	for _, label := range []string{name, v.text("id")} {
		if checkName(label) == nil && o.find(label) == nil {
			return label
		}
	}
	switch l.kind {
	case bond:
		return o.unused("bond", 0)
	case vlan:
		return o.unused("vlan", l.id)
	default:
		return macLabel(l.mac)
	}
}

// missing returns the error for a link without a MAC address, unless its name is enough.
func missing(name string) error {
	if name == "" {
		return errors.New("want a MAC address, or the name of the interface as name")
	}
	return checkName(name)
}

// unused returns a free name with a number, or the next one, for an interface to create.
func (o *openStack) unused(name string, number int) string {
	for o.find(name+strconv.Itoa(number)) != nil {
		number++
	}
	return name + strconv.Itoa(number)
}

func (o *openStack) bondOptions(v object, l *link) {
	for _, key := range slices.Sorted(maps.Keys(v.values)) {
		name, ok := strings.CutPrefix(key, "bond_")
		if !ok || name == "links" || name == "primary" {
			continue
		}
		value := v.text(key)
		if value == "" {
			continue
		}
		known, err := l.setOption(name, value)
		if err != nil {
			v.failed(key, err)
		} else if !known {
			o.warn(v.path+"."+key, "it is no option of a bond that is known, and left out")
		}
	}
}

// connect resolves the links that a link consists of.
func (o *openStack) connect(v object) {
	l := o.byID[v.text("id")]
	if l == nil {
		return
	}
	if l.kind == vlan {
		l.on = o.refer(v, "vlan_link", v.text("vlan_link"))
	}
	if l.kind != bond {
		return
	}
	for i, id := range v.texts("bond_links") {
		key := fmt.Sprintf("bond_links[%d]", i)
		if part := o.refer(v, key, id); part != nil {
			if err := part.enslave(l); err != nil {
				v.failed(key, err)
			}
			part.primary = v.text("bond_primary") == id
		}
	}
}

func (o *openStack) refer(v object, key, id string) *link {
	l := o.byID[id]
	if l == nil {
		v.fail(key, id, "the id of a link")
	}
	return l
}

// addressless are the types of networks that get their addresses by DHCP or from routers.
var addressless = map[string]func(*link){
	"ipv4_dhcp": func(l *link) { l.dhcp4 = true },
	"ipv6_dhcp": func(l *link) { l.dhcp6, l.ra = true, taken },
	// Routers announce whether there is more by DHCP.
	"ipv6_slaac":            func(l *link) { l.ra = taken },
	"ipv6_dhcpv6-stateless": func(l *link) { l.ra = taken },
	"ipv6_dhcpv6-stateful":  func(l *link) { l.dhcp6, l.ra = true, taken },
}

// network reads a network. With DHCP, the routes come from DHCP, too.
func (o *openStack) network(v object) {
	l := o.refer(v, "link", v.text("link"))
	if l == nil {
		return
	}
	typ := v.text("type")
	if set := addressless[typ]; set != nil {
		set(l)
	} else if slices.Contains([]string{"ipv4", "static", "ipv6", "static6"}, typ) {
		o.static(v, l)
	} else {
		v.fail("type", typ, "ipv4, ipv6, "+strings.Join(slices.Sorted(maps.Keys(addressless)), ", "))
	}
	for _, each := range v.objects("services") {
		o.service(each, &l.dns)
	}
	for i, text := range v.texts("dns_nameservers") {
		a, err := parseAddr(text)
		v.failed(fmt.Sprintf("dns_nameservers[%d]", i), orAppend(&l.dns, a, err))
	}
	for i, text := range v.texts("dns_search") {
		v.failed(fmt.Sprintf("dns_search[%d]", i), orAppend(&l.domains, text, checkDomain(text)))
	}
}

func orAppend[T comparable](to *[]T, value T, err error) error {
	if err == nil {
		err = appendNew(to, maxNames, value)
	}
	return err
}

func (o *openStack) static(v object, l *link) {
	p := v.prefix("ip_address", "netmask")
	if o.err != nil {
		return
	}
	v.failed("ip_address", l.addAddress(p))
	if v.text("gateway") != "" {
		v.failed("gateway", l.addDefault(parseIn(v, "gateway", parseAddr), 0))
	}
	for _, each := range v.objects("routes") {
		to, via := each.prefix("network", "netmask"), parseIn(each, "gateway", parseAddr)
		if o.err == nil {
			each.failed("", l.addRoute(to, via, 0))
		}
	}
}

// service reads a name server. There are no other services.
func (o *openStack) service(v object, dns *[]netip.Addr) {
	if typ := v.text("type"); typ != "dns" {
		o.warn(v.path+".type", "services of type %.80q are left out", typ)
		return
	}
	a := parseIn(v, "address", parseAddr)
	v.failed("address", orAppend(dns, a, o.err))
}
