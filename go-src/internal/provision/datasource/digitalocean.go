package datasource

import (
	"context"
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
	Address netip.Addr `json:"ip_address"`
	Netmask netip.Addr `json:"netmask"`
	CIDR    int        `json:"cidr"`
	Gateway netip.Addr `json:"gateway"`
}

func (a *doAddress) prefix() (netip.Prefix, error) {
	if a.Netmask.IsValid() {
		return maskedPrefix(a.Address, a.Netmask)
	}
	return sizedPrefix(a.Address, a.CIDR)
}

type doInterface struct {
	IPv4   *doAddress `json:"ipv4"`
	IPv6   *doAddress `json:"ipv6"`
	Anchor *doAddress `json:"anchor_ipv4"`
	MAC    string     `json:"mac"`
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
			Nameservers []netip.Addr `json:"nameservers"`
		} `json:"dns"`
	}
	if err := document(text, &parsed); err != nil {
		return m, err
	}
	m.Hostname, m.SSHKeys, m.Network.Nameservers = parsed.Hostname, parsed.PublicKeys, parsed.DNS.Nameservers
	public, private := parsed.Interfaces.Public, parsed.Interfaces.Private
	m.PublicIPv4, m.PublicIPv6 = firstAddresses(public)
	m.PrivateIPv4, m.PrivateIPv6 = firstAddresses(private)
	for i, each := range append(public, private...) {
		set, err := each.parse(i < len(public))
		if err != nil {
			return m, err
		}
		m.Network.Interfaces = append(m.Network.Interfaces, set)
	}
	return m, nil
}

func firstAddresses(interfaces []doInterface) (v4, v6 netip.Addr) {
	if len(interfaces) == 0 {
		return v4, v6
	}
	if a := interfaces[0].IPv4; a != nil {
		v4 = a.Address
	}
	if a := interfaces[0].IPv6; a != nil {
		v6 = a.Address
	}
	return v4, v6
}

// parse returns the configuration of an interface. Default routes are through public
// interfaces only.
func (i *doInterface) parse(public bool) (set Interface, err error) {
	if set.MAC, err = parseMAC(i.MAC); err != nil {
		return set, err
	}
	for _, address := range []*doAddress{i.IPv4, i.Anchor, i.IPv6} {
		if address == nil || !address.Address.IsValid() {
			continue
		}
		prefix, err := address.prefix()
		if err != nil {
			return set, err
		}
		set.Addresses = append(set.Addresses, prefix)
		if public && address != i.Anchor && address.Gateway.IsValid() {
			set.Routes = append(set.Routes, defaultRoute(address.Gateway))
		}
	}
	return set, nil
}
