package datasource

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxNumbered is the limit of each list of numbered variables.
const maxNumbered = 64

// variables reads guestinfo variables up to the first error of the source.
type variables struct {
	ctx    context.Context
	source Guestinfo
	err    error
	// invalid is the first value that is not valid.
	invalid error
}

func (v *variables) get(name string) string {
	if v.err != nil {
		return ""
	}
	var value string
	value, v.err = v.source(v.ctx, name)
	return strings.TrimSpace(value)
}

// list reads the variables with the numbers from 0 on, up to the first that is not set.
func (v *variables) list(before, after string) []string {
	var values []string
	for i := range maxNumbered {
		value := v.get(before + strconv.Itoa(i) + after)
		if value == "" {
			break
		}
		values = append(values, value)
	}
	return values
}

// fail records that a variable is not valid.
func (v *variables) fail(name, value, want string) {
	if v.err == nil && v.invalid == nil {
		v.invalid = fmt.Errorf("guestinfo.%s: %.80q is not %s", name, value, want)
	}
}

func (v *variables) address(name, text string) netip.Addr {
	address, err := netip.ParseAddr(text)
	if err != nil {
		v.fail(name, text, "an IP address")
	}
	return address
}

func (v *variables) prefix(name, text string) netip.Prefix {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		v.fail(name, text, "an address with its length, such as 10.0.0.2/24")
	}
	return prefix
}

func (v *variables) metadata() Metadata {
	m := Metadata{Hostname: v.get("hostname")}
	for _, text := range v.list("dns.server.", "") {
		m.Network.Nameservers = append(m.Network.Nameservers, v.address("dns.server.*", text))
	}
	m.Network.Domains = v.list("dns.domain.", "")
	for i := range maxNumbered {
		name := fmt.Sprintf("interface.%d.", i)
		set, ok := v.readInterface(name)
		if !ok {
			break
		}
		v.setAddresses(&m, name+"role", set.Addresses)
		m.Network.Interfaces = append(m.Network.Interfaces, set)
	}
	if v.invalid != nil {
		m.Network = Network{Problem: v.invalid}
	}
	return m
}

// readInterface returns the interface with a name prefix, if there is one.
func (v *variables) readInterface(name string) (Interface, bool) {
	set := Interface{Name: v.get(name + "name")}
	mac, dhcp := v.get(name+"mac"), v.get(name+"dhcp")
	var err error
	if set.MAC, err = parseMAC(mac); err != nil {
		v.fail(name+"mac", mac, "a MAC address")
	}
	if set.DHCP = dhcp == "yes"; !set.DHCP && dhcp != "no" && dhcp != "" {
		v.fail(name+"dhcp", dhcp, "yes or no")
	}
	for _, text := range v.list(name+"ip.", ".address") {
		set.Addresses = append(set.Addresses, v.prefix(name+"ip.*.address", text))
	}
	set.Routes = v.routes(name + "route.")
	isSet := set.Name != "" || mac != "" || dhcp != "" || len(set.Addresses) != 0 || len(set.Routes) != 0
	return set, isSet && v.err == nil
}

func (v *variables) routes(name string) []Route {
	var routes []Route
	for i := range maxNumbered {
		route := fmt.Sprintf("%s%d.", name, i)
		gateway, destination := v.get(route+"gateway"), v.get(route+"destination")
		if gateway == "" && destination == "" {
			break
		}
		routes = append(routes, Route{
			Destination: v.prefix(route+"destination", destination).Masked(),
			Gateway:     v.address(route+"gateway", gateway),
		})
	}
	return routes
}

// setAddresses sets the addresses of the machine by the role of an interface. The last
// interface counts, as with upstream.
func (v *variables) setAddresses(m *Metadata, name string, addresses []netip.Prefix) {
	role := v.get(name)
	if role != "" && role != "public" && role != "private" {
		v.fail(name, role, "public or private")
	}
	for _, prefix := range addresses {
		address := prefix.Addr()
		switch {
		case role == "public" && address.Is4():
			m.PublicIPv4 = address
		case role == "public":
			m.PublicIPv6 = address
		case role == "private" && address.Is4():
			m.PrivateIPv4 = address
		case role == "private":
			m.PrivateIPv6 = address
		}
	}
}
