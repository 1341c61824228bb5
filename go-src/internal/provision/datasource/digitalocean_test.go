package datasource

import (
	"net"
	"net/netip"
	"testing"
)

const digitalOceanDocument = `{
  "droplet_id": 2756294, "hostname": "sample", "region": "nyc3", "user_data": "#cloud-config",
  "public_keys": ["ssh-rsa AAAA one", "ssh-rsa BBBB two"],
  "dns": {"nameservers": ["2001:4860:4860::8844", "8.8.8.8"]},
  "floating_ip": {"ipv4": {"active": false}}, "features": {"dhcp_enabled": true},
  "interfaces": {
    "public": [{
      "ipv4": {"ip_address": "203.0.113.25", "netmask": "255.255.240.0", "gateway": "203.0.112.1"},
      "ipv6": {"ip_address": "2001:db8::12", "cidr": 64, "gateway": "2001:db8::1"},
      "anchor_ipv4": {"ip_address": "10.17.0.5", "netmask": "255.255.0.0", "gateway": "10.17.0.1"},
      "mac": "04:01:2a:0f:2a:01", "type": "public"}],
    "private": [{
      "ipv4": {"ip_address": "10.132.255.113", "netmask": "255.255.0.0", "gateway": "10.132.0.1"},
      "mac": "04:01:2a:0f:2a:02", "type": "private"}]
  }
}`

func TestDigitalOcean(t *testing.T) {
	const document, userData = "/metadata/v1.json", "/metadata/v1/user-data"
	all := &Data{UserData: []byte(config), Metadata: Metadata{
		Hostname: "sample", SSHKeys: []string{"ssh-rsa AAAA one", "ssh-rsa BBBB two"},
		PublicIPv4: address("203.0.113.25"), PublicIPv6: address("2001:db8::12"), PrivateIPv4: address("10.132.255.113"),
		Network: Network{
			Nameservers: []netip.Addr{address("2001:4860:4860::8844"), address("8.8.8.8")},
			Interfaces: []Interface{
				{
					MAC:       net.HardwareAddr{4, 1, 0x2a, 0xf, 0x2a, 1},
					Addresses: []netip.Prefix{prefix("203.0.113.25/20"), prefix("10.17.0.5/16"), prefix("2001:db8::12/64")},
					Routes:    []Route{{prefix("0.0.0.0/0"), address("203.0.112.1")}, {prefix("::/0"), address("2001:db8::1")}},
				},
				{MAC: net.HardwareAddr{4, 1, 0x2a, 0xf, 0x2a, 2}, Addresses: []netip.Prefix{prefix("10.132.255.113/16")}},
			},
		},
	}}
	tests := fetches{
		"all":           {answers{document: digitalOceanDocument, userData: config}, all, nil},
		"packed":        {answers{document: digitalOceanDocument, userData: string(pack(t, []byte(config)))}, all, nil},
		"nothing in it": {answers{document: "{}"}, &Data{}, nil},
		"no address":    {answers{document: `{"interfaces": {"public": [{"ipv6": {"ip_address": "", "cidr": 0}}]}}`}, &Data{Metadata: Metadata{Network: Network{Interfaces: []Interface{{}}}}}, nil},
		"not there":     {answers{userData: config}, nil, ErrAbsent},
	}
	tests.check(t, DigitalOcean)
}

func FuzzDigitalOcean(f *testing.F) {
	fuzzInterfaces(f, digitalOceanDocument, parseDigitalOcean)
}

// checkInterface checks the properties that users of an interface rely on.
func checkInterface(t *testing.T, each Interface, err error) {
	for _, a := range each.Addresses {
		if err == nil && !a.IsValid() {
			t.Errorf("address %v", a)
		}
	}
	for _, r := range each.Routes {
		if err == nil && (!r.Destination.IsValid() || !r.Gateway.IsValid()) {
			t.Errorf("route %v", r)
		}
	}
}
