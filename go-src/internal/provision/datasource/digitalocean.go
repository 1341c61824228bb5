package datasource

import (
	"context"
	"fmt"
	"net/netip"
)

// DigitalOcean is the metadata server of DigitalOcean at a URL, such as
// http://169.254.169.254/: metadata/v1.json, and metadata/v1/user-data, which may be
// packed. The network has all interfaces of the document with their addresses, and gateways
// only for the public ones. See https://docs.digitalocean.com/reference/api/metadata/.
func DigitalOcean(address string) Source {
	s := newServer(address)
	return source{"digitalocean-metadata at " + s.root, func(ctx context.Context) (*Data, error) {
		return s.twoFiles(ctx, "metadata/v1.json", parseDigitalOcean, "metadata/v1/user-data")
	}}
}

// doAddress has a mask for IPv4 and a prefix length for IPv6.
type doAddress struct {
	Address looseText `json:"ip_address"`
	Netmask looseText `json:"netmask"`
	CIDR    looseText `json:"cidr"`
	Gateway looseText `json:"gateway"`
}

type doInterface struct {
	IPv4   *doAddress `json:"ipv4"`
	IPv6   *doAddress `json:"ipv6"`
	Anchor *doAddress `json:"anchor_ipv4"`
	MAC    looseText  `json:"mac"`
}

func parseDigitalOcean(text []byte) (m Metadata, err error) {
	var parsed struct {
		Hostname   string   `json:"hostname"`
		PublicKeys []string `json:"public_keys"`
		Interfaces struct {
			Public  []doInterface `json:"public"`
			Private []doInterface `json:"private"`
		} `json:"interfaces"`
		DNS struct {
			Nameservers []looseText `json:"nameservers"`
		} `json:"dns"`
	}
	if err := m.document(text, &parsed); err != nil {
		return m, err
	}
	m.Hostname, m.SSHKeys = parsed.Hostname, parsed.PublicKeys
	m.Network.nameservers("dns.nameservers", parsed.DNS.Nameservers)
	public, private := parsed.Interfaces.Public, parsed.Interfaces.Private
	m.PublicIPv4, m.PublicIPv6 = m.firstAddresses("interfaces.public[0]", public)
	m.PrivateIPv4, m.PrivateIPv6 = m.firstAddresses("interfaces.private[0]", private)
	for i, each := range public {
		m.Network.add(fmt.Sprintf("interfaces.public[%d]", i), func() (Interface, error) { return each.parse(true) })
	}
	for i, each := range private {
		m.Network.add(fmt.Sprintf("interfaces.private[%d]", i), func() (Interface, error) { return each.parse(false) })
	}
	return m, nil
}

func (m *Metadata) firstAddresses(entry string, interfaces []doInterface) (v4, v6 netip.Addr) {
	if len(interfaces) == 0 {
		return v4, v6
	}
	if a := interfaces[0].IPv4; a != nil {
		v4 = m.address(entry+".ipv4.ip_address", string(a.Address))
	}
	if a := interfaces[0].IPv6; a != nil {
		v6 = m.address(entry+".ipv6.ip_address", string(a.Address))
	}
	return v4, v6
}

// parse returns the configuration of an interface. Default routes are through public
// interfaces only.
func (i *doInterface) parse(public bool) (set Interface, err error) {
	if set.MAC, err = parseMAC(string(i.MAC)); err != nil {
		return set, err
	}
	for _, address := range []*doAddress{i.IPv4, i.Anchor, i.IPv6} {
		if address == nil || address.Address == "" {
			continue
		}
		prefix, err := parsePrefix(address.Address, address.Netmask, address.CIDR)
		if err != nil {
			return set, err
		}
		set.Addresses = append(set.Addresses, prefix)
		if !public || address == i.Anchor || address.Gateway == "" {
			continue
		}
		gateway, err := parseAddress("gateway", string(address.Gateway))
		if err != nil {
			return set, err
		}
		set.Routes = append(set.Routes, defaultRoute(gateway))
	}
	return set, nil
}
