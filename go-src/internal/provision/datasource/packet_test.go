package datasource

import (
	"net"
	"net/netip"
	"testing"
)

const packetDocument = `{
  "id": "11111111-2222", "hostname": "one.packet", "plan": "c3.small.x86", "tags": [], "ssh_keys": ["ssh-rsa AAAA one"],
  "network": {
    "bonding": {"mode": 5},
    "interfaces": [{"name": "eth0", "mac": "0c:c4:7a:00:00:01", "bond": "bond0"}, {"name": "eth1", "mac": "0c:c4:7a:00:00:02", "bond": "bond0"}],
    "addresses": [
      {"id": "a", "address_family": 4, "netmask": "255.255.255.254", "public": true, "cidr": 31, "management": true, "address": "203.0.113.25", "gateway": "203.0.113.24"},
      {"id": "b", "address_family": 6, "netmask": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "public": true, "cidr": 127, "address": "2001:db8::3", "gateway": "2001:db8::2"},
      {"id": "c", "address_family": 4, "netmask": "255.255.255.254", "public": false, "cidr": 31, "address": "10.99.200.3", "gateway": "10.99.200.2"}]
  },
  "phone_home_url": "http://147.75.195.231/phone-home"
}`

func packetData() *Data {
	first, second := net.HardwareAddr{0xc, 0xc4, 0x7a, 0, 0, 1}, net.HardwareAddr{0xc, 0xc4, 0x7a, 0, 0, 2}
	return &Data{UserData: []byte(config), Metadata: Metadata{
		Hostname: "one.packet", SSHKeys: []string{"ssh-rsa AAAA one"},
		PublicIPv4: address("203.0.113.25"), PublicIPv6: address("2001:db8::3"), PrivateIPv4: address("10.99.200.3"),
		Network: Network{Interfaces: []Interface{
			{Name: "eth0", MAC: first, Bond: "bond0"},
			{Name: "eth1", MAC: second, Bond: "bond0"},
			{
				Name: "bond0", MAC: first, BondMode: "balance-tlb",
				Addresses: []netip.Prefix{prefix("203.0.113.25/31"), prefix("2001:db8::3/127"), prefix("10.99.200.3/31")},
				Routes: []Route{
					{prefix("0.0.0.0/0"), address("203.0.113.24")},
					{prefix("::/0"), address("2001:db8::2")},
					{prefix("10.0.0.0/8"), address("10.99.200.2")},
				},
			},
		}},
	}}
}

func TestPacket(t *testing.T) {
	oneNIC := `{"network": {"interfaces": [{"name": "eth0"}], "addresses": [{"address": "10.0.0.2", "netmask": "255.0.0.0"}]}}`
	tests := fetches{
		"all":          {answers{"/metadata": packetDocument, "/userdata": config}, packetData(), nil},
		"nothing":      {answers{"/metadata": "{}"}, &Data{}, nil},
		"no user-data": {answers{"/metadata": `{"hostname": "one"}`, "/userdata": ""}, &Data{Metadata: Metadata{Hostname: "one"}}, nil},
		"a mask": {answers{"/metadata": oneNIC}, &Data{Metadata: Metadata{
			PrivateIPv4: address("10.0.0.2"),
			Network: Network{Interfaces: []Interface{
				{Name: "eth0", Bond: "bond0"},
				{Name: "bond0", BondMode: "802.3ad", Addresses: []netip.Prefix{prefix("10.0.0.2/8")}},
			}},
		}}, nil},
		"not there": {answers{"/userdata": config}, nil, ErrAbsent},
	}
	tests.check(t, Packet)
}

func FuzzPacket(f *testing.F) {
	fuzzInterfaces(f, packetDocument, parsePacket)
}
