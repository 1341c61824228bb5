package netconf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/provision/datasource"
)

// openStackOf is a document with these lists.
func openStackOf(links, networks string) *datasource.Network {
	return &datasource.Network{OpenStack: fmt.Appendf(nil, `{"links": [%s], "networks": [%s]}`, links, networks)}
}

const phy = `{"id": "a", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:01"}`

func TestOpenStack(t *testing.T) {
	const match = "[Match]\nPermanentMACAddress=02:00:00:00:00:01\nKind=!*\n\n"
	for name, test := range map[string]struct{ links, networks, want string }{
		"idle":      {phy, "", match + "[Link]\nRequiredForOnline=no\n\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"},
		"by name":   {`{"id": "a", "name": "eth0", "type": "phy"}`, `{"link": "a", "type": "ipv4_dhcp"}`, "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\nKeepConfiguration=dhcp-on-stop\n\n[DHCPv4]\nUseDomains=yes\n"},
		"stateless": {phy, `{"link": "a", "type": "ipv6_dhcpv6-stateless", "ip_address": "not looked at"}`, match + "[Network]\nIPv6AcceptRA=yes\n\n[IPv6AcceptRA]\nUseDomains=yes\n"},
		"others' words": {
			phy, `{"link": "a", "type": "static", "ip_address": "10.0.0.2/24", "gateway": "10.0.0.1", "dns_nameservers": ["10.0.0.9"], "dns_search": ["example.com"]}`,
			match + "[Network]\nAddress=10.0.0.2/24\nDNS=10.0.0.9\nDomains=example.com\n\n[Route]\nDestination=0.0.0.0/0\nGateway=10.0.0.1\n",
		},
		"a taken name": {
			`{"id": "x", "name": "vlan7", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:01"}, {"id": "a-name-that-is-too-long", "type": "vlan", "vlan_id": 7, "vlan_link": "x", "vlan_mac_address": ""}`,
			`{"link": "a-name-that-is-too-long", "type": "ipv4_dhcp"}`,
			"[Match]\nName=vlan8\n\n[Network]\nDHCP=ipv4\nKeepConfiguration=dhcp-on-stop\n\n[DHCPv4]\nUseDomains=yes\n",
		},
		"a VLAN on a VLAN": {
			`{"id": "b.8", "type": "vlan", "vlan_id": 8, "vlan_link": "b"}, {"id": "b", "type": "vlan", "vlan_id": 7, "vlan_link": "a"}, ` + phy, "",
			match + "[Link]\nRequiredForOnline=no\n\n[Network]\nVLAN=b\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := content(t, openStackOf(test.links, test.networks)); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestOpenStackBonds(t *testing.T) {
	result, err := Convert(OpenStack, openStackOf(phy+`,
		{"id": "nic-number-two-of-two", "type": "phy", "ethernet_mac_address": "02-00-00-00-00-02"},
		{"id": "11111111-1111-1111", "type": "bond", "bond_mode": "active-backup", "bond_links": ["a", "nic-number-two-of-two"], "bond_primary": "a", "bond_miimon": null},
		{"id": "22222222-2222-2222", "type": "bond", "bond_links": []}`, ""))
	if err != nil || len(result.Warnings) != 1 {
		t.Fatalf("got %+v, error %v", result, err)
	}
	checkFiles(t, result)
	var names []string
	for _, file := range result.Files {
		names = append(names, strings.TrimPrefix(file.Name, Prefix))
	}
	if got, want := strings.Join(names, " "), "bond0.netdev bond1.netdev a.network 02-00-00-00-00-02.network bond0.network bond1.network"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i, want := range []string{"MACAddress=02:00:00:00:00:01\n\n[Bond]\nMIIMonitorSec=100ms\nMode=active-backup\n", "Mode=balance-rr\n", "Bond=bond0\nPrimarySlave=yes\n", "Bond=bond0\n"} {
		if !strings.HasSuffix(result.Files[i].Content, want) {
			t.Errorf("%s: got\n%s\nwant at the end\n%s", result.Files[i].Name, result.Files[i].Content, want)
		}
	}
}

func TestOpenStackErrors(t *testing.T) {
	link := func(fields string) string {
		return `{"id": "b", "ethernet_mac_address": "02:00:00:00:00:02", ` + fields + "}"
	}
	network := func(fields string) string { return `{"link": "a", ` + fields + "}" }
	for want, test := range map[string]struct{ links, networks string }{
		"the JSON object is not valid":                                {"]", ""},
		"links[0]: want an object":                                    {"1", ""},
		"links[0].id: want a string":                                  {`{"id": {}, "name": "x"}`, ""},
		`links[1].id: "a": want an identifier`:                        {phy + "," + phy, ""},
		`links[0].id: "": want an identifier`:                         {`{"name": "eth0"}`, ""},
		"links[0].ethernet_mac_address: want a MAC":                   {`{"id": "a"}`, ""},
		`links[0].ethernet_mac_address: "eth0 x": want the`:           {`{"id": "a", "name": "eth0 x"}`, ""},
		`links[0].ethernet_mac_address: "x": want a MAC`:              {`{"id": "a", "ethernet_mac_address": "x"}`, ""},
		`links[0].mtu: "70000": want a number`:                        {link(`"mtu": 70000`), ""},
		`links[0].mtu: "1e3": want a number`:                          {link(`"mtu": 1e3`), ""},
		`links[0].vlan_id: "4095": want a number`:                     {link(`"type": "vlan", "vlan_link": "a", "vlan_id": 4095`), ""},
		`links[0].vlan_link: "a": want the id`:                        {link(`"type": "vlan", "vlan_link": "a", "vlan_id": 7`), ""},
		`links[0]: "b" is a part of itself, through other interfaces`: {link(`"type": "vlan", "vlan_link": "b", "vlan_id": 7`), ""},
		`links[0]: "b" is a part of itself`:                           {link(`"type": "bond", "bond_links": ["b"]`), ""},
		`links[0].bond_links[0]: "c": want the id`:                    {link(`"type": "bond", "bond_links": ["c"]`), ""},
		"links[0].bond_links: want a list":                            {link(`"type": "bond", "bond_links": "c"`), ""},
		"links[0].bond_links[0]: want a string":                       {link(`"type": "bond", "bond_links": [[]]`), ""},
		`links[0].bond_mode: "5x": want one of`:                       {link(`"type": "bond", "bond_mode": "5x"`), ""},
		`links[2].bond_links[0]: "a" is a part of "b" and`:            {phy + "," + link(`"type": "bond", "bond_links": ["a"]`) + `, {"id": "c", "type": "bond", "bond_links": ["a"]}`, ""},
		`networks[0].link: "c": want the id`:                          {phy, `{"link": "c"}`},
		`networks[0].type: "ipv5": want ipv4, ipv6, ipv4`:             {phy, network(`"type": "ipv5"`)},
		"networks[0].ip_address":                                      {phy, network(`"type": "ipv4"`)},
		`networks[0].netmask: "255.0.255.0": want a net`:              {phy, network(`"type": "ipv4", "ip_address": "10.0.0.2", "netmask": "255.0.255.0"`)},
		`networks[0].ip_address: address 0.0.0.0/24: want`:            {phy, network(`"type": "ipv4", "ip_address": "0.0.0.0/24"`)},
		`networks[0].routes[0].gateway: "": want`:                     {phy, network(`"type": "ipv4", "ip_address": "10.0.0.2/8", "routes": [{"network": "::", "netmask": "::"}]`)},
		`networks[0].routes[0]: route to ::/0 by 10.0.0.1`:            {phy, network(`"type": "ipv4", "ip_address": "10.0.0.2/8", "routes": [{"network": "::", "netmask": "::", "gateway": "10.0.0.1"}]`)},
		`networks[0].gateway: "x": want an IP address`:                {phy, network(`"type": "ipv4", "ip_address": "10.0.0.2/8", "gateway": "x"`)},
		`networks[0].services[0].address: "": want`:                   {phy, network(`"type": "ipv6_slaac", "services": [{"type": "dns"}]`)},
		`networks[0].dns_search[0]: "x\n[Network]": want`:             {phy, network(`"type": "ipv6_slaac", "dns_search": ["x\n[Network]"]`)},
		`networks[0].dns_nameservers[0]: "fe80::1%a\nb": wan`:         {phy, network(`"type": "ipv6_slaac", "dns_nameservers": ["fe80::1%a\nb"]`)},
	} {
		t.Run(want, func(t *testing.T) {
			result, err := Convert(OpenStack, openStackOf(test.links, test.networks))
			want := strings.ReplaceAll(want, "\n", `\n`)
			if err == nil || !strings.HasPrefix(err.Error(), want) || len(result.Files) > 0 {
				t.Errorf("got %+v, error %v", result, err)
			}
		})
	}
	if _, err := Convert(OpenStack, &datasource.Network{OpenStack: []byte("{} {}")}); err == nil {
		t.Error("two documents are no error")
	}
}

// readFile is a file of testdata.
func readFile(f *testing.F, name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		f.Fatal(err)
	}
	return text
}

// fuzz converts what may be anything.
func fuzz(t *testing.T, form Form, network *datasource.Network) {
	result, err := Convert(form, network)
	if err != nil && (len(result.Files) > 0 || strings.ContainsAny(err.Error(), "\n\x00")) {
		t.Errorf("got %+v, error %v", result, err)
	}
	for _, warning := range result.Warnings {
		if strings.ContainsAny(warning, "\n\x00") {
			t.Errorf("warning %q", warning)
		}
	}
	checkFiles(t, result)
}

func FuzzOpenStack(f *testing.F) {
	for _, name := range []string{"nova.openstack", "bond.openstack"} {
		f.Add(readFile(f, name))
	}
	f.Add(openStackOf(phy+`,{"id": "x", "type": "vlan", "vlan_id": 7, "vlan_link": "x"}`, `{"link": "a", "type": "ipv4", "ip_address": "10.0.0.2/8", "dns_search": ["x"]}`).OpenStack)
	f.Fuzz(func(t *testing.T, text []byte) { fuzz(t, OpenStack, &datasource.Network{OpenStack: text}) })
}
