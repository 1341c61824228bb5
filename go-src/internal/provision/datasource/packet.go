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
	Address netip.Addr `json:"address"`
	Netmask netip.Addr `json:"netmask"`
	CIDR    int        `json:"cidr"`
	Gateway netip.Addr `json:"gateway"`
	Public  bool       `json:"public"`
}

type packetNetwork struct {
	Bonding struct {
		Mode *int `json:"mode"`
	} `json:"bonding"`
	Interfaces []struct {
		Name string `json:"name"`
		MAC  string `json:"mac"`
	} `json:"interfaces"`
	Addresses []packetAddress `json:"addresses"`
	DNS       []netip.Addr    `json:"dns"`
}

func parsePacket(text []byte) (m Metadata, err error) {
	var parsed struct {
		Hostname string        `json:"hostname"`
		SSHKeys  []string      `json:"ssh_keys"`
		Network  packetNetwork `json:"network"`
	}
	if err := document(text, &parsed); err != nil {
		return m, err
	}
	m.Hostname, m.SSHKeys = parsed.Hostname, parsed.SSHKeys
	for _, a := range parsed.Network.Addresses {
		switch {
		case a.Address.Is4() && a.Public:
			setFirst(&m.PublicIPv4, a.Address)
		case a.Address.Is4():
			setFirst(&m.PrivateIPv4, a.Address)
		case a.Public:
			setFirst(&m.PublicIPv6, a.Address)
		default:
			setFirst(&m.PrivateIPv6, a.Address)
		}
	}
	m.Network, err = parsed.Network.parse()
	return m, err
}

// bondModes are the bonding modes of the kernel by number. Packet's default is 4.
var bondModes = []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}

func (p *packetNetwork) parse() (Network, error) {
	network := Network{Nameservers: p.DNS}
	if len(p.Interfaces) == 0 {
		return network, nil
	}
	mode := 4
	if p.Bonding.Mode != nil {
		mode = *p.Bonding.Mode
	}
	if mode < 0 || mode >= len(bondModes) {
		return network, fmt.Errorf("%w: bonding mode %d", ErrInvalid, mode)
	}
	bond := Interface{Name: "bond0", BondMode: bondModes[mode]}
	for _, each := range p.Interfaces {
		mac, err := parseMAC(each.MAC)
		if err != nil {
			return network, err
		}
		if bond.MAC == nil {
			bond.MAC = mac
		}
		network.Interfaces = append(network.Interfaces, Interface{Name: each.Name, MAC: mac, Bond: bond.Name})
	}
	for _, a := range p.Addresses {
		if err := a.addTo(&bond); err != nil {
			return network, err
		}
	}
	network.Interfaces = append(network.Interfaces, bond)
	return network, nil
}

// private4 is the network that is routed through the gateway of a private address.
var private4 = netip.MustParsePrefix("10.0.0.0/8")

func (a *packetAddress) addTo(bond *Interface) error {
	prefix, err := sizedPrefix(a.Address, a.CIDR)
	if a.CIDR == 0 && a.Netmask.IsValid() {
		prefix, err = maskedPrefix(a.Address, a.Netmask)
	}
	if err != nil {
		return err
	}
	bond.Addresses = append(bond.Addresses, prefix)
	switch {
	case !a.Gateway.IsValid():
	case a.Public:
		bond.Routes = append(bond.Routes, defaultRoute(a.Gateway))
	case a.Gateway.Is4():
		bond.Routes = append(bond.Routes, Route{private4, a.Gateway})
	}
	return nil
}
