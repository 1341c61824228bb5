package datasource

import (
	"context"
	"fmt"
	"net/netip"
)

// Packet is the metadata server of Packet, later Equinix Metal, at a URL, such as
// https://metadata.packet.net/: metadata and userdata. The addresses are those of the bond
// of all interfaces. See https://pkg.go.dev/github.com/packethost/packngo/metadata.
func Packet(address string) Source {
	s := newServer(address)
	return source{"packet-metadata at " + s.root, func(ctx context.Context) (*Data, error) {
		return s.twoFiles(ctx, "metadata", parsePacket, "userdata")
	}}
}

type packetAddress struct {
	Address looseText `json:"address"`
	Netmask looseText `json:"netmask"`
	CIDR    looseText `json:"cidr"`
	Gateway looseText `json:"gateway"`
	Public  bool      `json:"public"`
}

type packetNetwork struct {
	Bonding struct {
		Mode *int `json:"mode"`
	} `json:"bonding"`
	Interfaces []struct {
		Name string    `json:"name"`
		MAC  looseText `json:"mac"`
	} `json:"interfaces"`
	Addresses []packetAddress `json:"addresses"`
	DNS       []looseText     `json:"dns"`
}

func parsePacket(text []byte) (m Metadata, err error) {
	var parsed struct {
		Hostname string        `json:"hostname"`
		SSHKeys  []string      `json:"ssh_keys"`
		Network  packetNetwork `json:"network"`
	}
	if err := m.document(text, &parsed); err != nil {
		return m, err
	}
	m.Hostname, m.SSHKeys = parsed.Hostname, parsed.SSHKeys
	for i, a := range parsed.Network.Addresses {
		address := m.address(fmt.Sprintf("network.addresses[%d].address", i), string(a.Address))
		switch {
		case address.Is4() && a.Public:
			setFirst(&m.PublicIPv4, address)
		case address.Is4():
			setFirst(&m.PrivateIPv4, address)
		case a.Public:
			setFirst(&m.PublicIPv6, address)
		default:
			setFirst(&m.PrivateIPv6, address)
		}
	}
	m.Network.nameservers("network.dns", parsed.Network.DNS)
	interfaces, err := parsed.Network.parse()
	if m.Network.fail("network", err); m.Network.Problem == nil {
		m.Network.Interfaces = interfaces
	}
	return m, nil
}

// bondModes are the bonding modes of the kernel by number. Packet's default is 4.
var bondModes = []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}

// parse returns the interfaces, with the bond of all of them as the last.
func (p *packetNetwork) parse() ([]Interface, error) {
	if len(p.Interfaces) == 0 {
		return nil, nil
	}
	mode := 4
	if p.Bonding.Mode != nil {
		mode = *p.Bonding.Mode
	}
	if mode < 0 || mode >= len(bondModes) {
		return nil, fmt.Errorf("%w: bonding mode %d", ErrInvalid, mode)
	}
	var interfaces []Interface
	bond := Interface{Name: "bond0", BondMode: bondModes[mode]}
	for i, each := range p.Interfaces {
		mac, err := parseMAC(string(each.MAC))
		if err != nil {
			return nil, fmt.Errorf("interfaces[%d]: %w", i, err)
		}
		if bond.MAC == nil {
			bond.MAC = mac
		}
		interfaces = append(interfaces, Interface{Name: each.Name, MAC: mac, Bond: bond.Name})
	}
	for i, a := range p.Addresses {
		if err := a.addTo(&bond); err != nil {
			return nil, fmt.Errorf("addresses[%d]: %w", i, err)
		}
	}
	return append(interfaces, bond), nil
}

// private4 is the network that is routed through the gateway of a private address.
var private4 = netip.MustParsePrefix("10.0.0.0/8")

func (a *packetAddress) addTo(bond *Interface) error {
	mask := a.Netmask
	if a.CIDR != "" && a.CIDR != "0" {
		mask = ""
	}
	prefix, err := parsePrefix(a.Address, mask, a.CIDR)
	if err != nil {
		return err
	}
	bond.Addresses = append(bond.Addresses, prefix)
	gateway, err := parseAddress("gateway", string(a.Gateway))
	switch {
	case err != nil:
		return err
	case !gateway.IsValid():
	case a.Public:
		bond.Routes = append(bond.Routes, defaultRoute(gateway))
	case gateway.Is4():
		bond.Routes = append(bond.Routes, Route{private4, gateway})
	}
	return nil
}
