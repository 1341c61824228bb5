package netconf

import (
	"fmt"
	"strings"
	"testing"

	"coreos/internal/provision/datasource"
)

// debianOf is a file with one interface of these options.
func debianOf(options ...string) *datasource.Network {
	return &datasource.Network{Debian: []byte("iface eth0 inet static\n address 10.0.0.2/24\n" + strings.Join(options, "\n"))}
}

func TestDebian(t *testing.T) {
	const static = "[Match]\nName=eth0\n\n[Network]\nAddress=10.0.0.2/24\n"
	route := func(lines string) string { return static + "\n[Route]\n" + lines }
	for name, test := range map[string]struct{ text, want string }{
		"dhcp":             {"iface eth0 inet dhcp", "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\nKeepConfiguration=dhcp-on-stop\n\n[DHCPv4]\nUseDomains=yes\n"},
		"no newlines":      {"iface eth0 inet static\r\n\taddress\t10.0.0.2\r\n netmask 255.255.255.0", static},
		"continued":        {"iface eth0 inet \\\n# static\n", ""},
		"continued well":   {"iface eth0 \\\n inet static\n address \\\n10.0.0.2/24 \\", static},
		"inet6":            {"iface eth0 inet6 static\naddress 2001:db8::2\ngateway fe80::1\naccept_ra 2", "[Match]\nName=eth0\n\n[Network]\nIPv6AcceptRA=yes\nAddress=2001:db8::2/64\n\n[IPv6AcceptRA]\nUseDomains=yes\n\n[Route]\nDestination=::/0\nGateway=fe80::1\n"},
		"refused":          {"iface eth0 inet6 static\naddress 2001:db8::2/48\naccept_ra 0", "[Match]\nName=eth0\n\n[Network]\nIPv6AcceptRA=no\nAddress=2001:db8::2/48\n"},
		"stateful":         {"iface eth0 inet6 dhcp", "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv6\nKeepConfiguration=dhcp-on-stop\nIPv6AcceptRA=yes\n\n[DHCPv6]\nUseDomains=yes\n\n[IPv6AcceptRA]\nUseDomains=yes\n"},
		"mapping":          {"mapping eth0\n script x\n map y\niface eth0 inet static\n address 10.0.0.2/24\nsource /etc/x/*", static},
		"other families":   {"iface can0 can static\n bitrate 1\niface eth0 inet static\n address 10.0.0.2/24\n", static},
		"metric":           {"iface eth0 inet static\n address 10.0.0.2/24\n gateway 10.0.0.1\n metric 7", route("Destination=0.0.0.0/0\nGateway=10.0.0.1\nMetric=7\n")},
		"a host":           {"iface eth0 inet static\n address 10.0.0.2/24\n up route add -host 192.0.2.7 gw 10.0.0.1", route("Destination=192.0.2.7/32\nGateway=10.0.0.1\n")},
		"the default":      {"iface eth0 inet static\n address 10.0.0.2/24\n up /sbin/route add default gw 10.0.0.1 metric 3", route("Destination=0.0.0.0/0\nGateway=10.0.0.1\nMetric=3\n")},
		"by -A inet6":      {"iface eth0 inet static\n address 10.0.0.2/24\n up route -A inet6 add 2001:db8::/32 gw fe80::1 dev eth0", route("Destination=2001:db8::/32\nGateway=fe80::1\n")},
		"by ip -6":         {"iface eth0 inet static\n address 10.0.0.2/24\n pre-up ip -6 route add default via fe80::1 || true", route("Destination=::/0\nGateway=fe80::1\n")},
		"on the link":      {"iface eth0 inet static\n address 10.0.0.2/24\n up ip route add 192.0.2.0/24 dev ${IFACE}", route("Destination=192.0.2.0/24\n")},
		"another device":   {"iface eth0 inet static\n address 10.0.0.2/24\n up ip route add 192.0.2.0/24 dev eth1", static},
		"nonsense":         {"iface eth0 inet static\n address 10.0.0.2/24\n up route add -net x gw y\n up ip route add\n up route add gw\n up\n up rm -rf / tmp", static},
		"manual's address": {"iface eth0 inet manual\n address 10.0.0.2\n dns-nameservers 10.0.0.9\niface eth1 inet static\n address 10.0.0.2/24", "[Match]\nName=eth1\n\n[Network]\nAddress=10.0.0.2/24\nDNS=10.0.0.9\n"},
		"VLAN by name":     {"iface vlan7 inet manual\n vlan-raw-device eth0", "[Match]\nName=eth0\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nVLAN=vlan7\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"},
		"no VLAN":          {"iface br.lan inet static\n address 10.0.0.2/24", "[Match]\nName=br.lan\n\n[Network]\nAddress=10.0.0.2/24\n"},
	} {
		t.Run(name, func(t *testing.T) {
			network := &datasource.Network{Debian: []byte(test.text)}
			if test.want == "" {
				if _, err := Convert(Debian, network); err == nil {
					t.Error("no error")
				}
			} else if got := content(t, network); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestDebianBond(t *testing.T) {
	result, err := Convert(Debian, &datasource.Network{Debian: []byte(`
iface bond0 inet dhcp
  slaves eth0 eth1
  bond_mode 4
  bond-xmit_hash_policy 1
  bond-ad-select count
  bond-min-links 1
  bond-fail-over-mac follow
  bond-primary-reselect 1
  bond-arp-validate all
  bond-arp-all-targets all
  bond-arp-interval 500
  bond-arp-ip-target 192.0.2.1 192.0.2.2
  bond-downdelay 0
  bond-use-carrier 1
`)})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, result)
	const want = "[NetDev]\nName=bond0\nKind=bond\n\n[Bond]\nARPAllTargets=all\nARPIPTargets=192.0.2.1 192.0.2.2\nARPIntervalSec=500ms\nARPValidate=all\n" +
		"AdSelect=count\nDownDelaySec=0ms\nFailOverMACPolicy=follow\nMinLinks=1\nMode=802.3ad\nPrimaryReselectPolicy=better\nTransmitHashPolicy=layer3+4\n"
	if _, got, _ := strings.Cut(result.Files[0].Content, "\n\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(result.Files) != 4 || len(result.Warnings) != 1 {
		t.Errorf("got %+v", result)
	}
}

func TestDebianErrors(t *testing.T) {
	of := func(text string) *datasource.Network { return &datasource.Network{Debian: []byte(text)} }
	for want, network := range map[string]*datasource.Network{
		`line 2: "address": want iface`:                                 of("auto eth0\naddress 10.0.0.2"),
		`line 1: "iface eth0 inet": want iface NAME`:                    of("iface eth0 inet"),
		`line 1: "ppp": want static`:                                    of("iface eth0 inet ppp"),
		`line 1: "auto": want static`:                                   of("iface eth0 inet auto"),
		`line 3: mtu: "1": want a number from 68`:                       debianOf("mtu 1"),
		`line 3: mtu: "": want a number`:                                debianOf("mtu"),
		`"x": want a MAC address`:                                       debianOf("hwaddress ether x"),
		`want ether and a MAC`:                                          debianOf("hwaddress token 02:00:00:00:00:01"),
		`it was 02:00:00:00:00:01 before`:                               debianOf("hwaddress 02:00:00:00:00:01", "hwaddress 02:00:00:00:00:02"),
		`gateway: "here": want an IP address`:                           debianOf("gateway here"),
		`"fe80::1%eth0": want an IP`:                                    debianOf("gateway fe80::1%eth0"),
		`dns-nameservers: "x": want`:                                    debianOf("dns-nameservers 10.0.0.1 x"),
		`dns-search: "a..b": want a domain`:                             debianOf("dns-search a..b"),
		`metric: "-1": want`:                                            debianOf("metric -1"),
		`line 3: netmask: "255.0.255.0": want`:                          of("iface eth0 inet static\naddress 10.0.0.2\nnetmask 255.0.255.0"),
		`address: "10.0.0.2": want its network's`:                       of("iface eth0 inet static\naddress 10.0.0.2"),
		`want an address of family inet`:                                of("iface eth0 inet static\naddress 2001:db8::1/64"),
		`"10.0.0.2/33": want an IP address`:                             of("iface eth0 inet static\naddress 10.0.0.2/33"),
		`"eth0" is static: want an address`:                             of("iface eth0 inet static"),
		`want the name of an interface`:                                 of("iface eth0/../../x inet dhcp"),
		`"an-interface-too-long"`:                                       of("iface an-interface-too-long inet dhcp"),
		`"*"`:                                                           of("iface * inet dhcp"),
		`"eth0" is a part of itself`:                                    of("iface eth0 inet manual\nbond-slaves eth0"),
		`there is no bond "bond7"`:                                      debianOf("bond-master bond7"),
		`is a part of the bond "bond0", and has`:                        debianOf("bond-master bond0", "iface bond0 inet manual"),
		`want one bond`:                                                 of("iface a inet manual\nbond-slaves x\niface b inet manual\nbond-slaves x"),
		`bond-mode: "7": want one of balance-rr`:                        debianOf("bond-mode 7"),
		`bond-arp-ip-target: "::1": want an IPv4`:                       debianOf("bond-arp-ip-target ::1"),
		`it is both a VLAN and a bond`:                                  of("iface a.7 inet manual\nbond-mode 1"),
		`line 1: "bond0" is a part of itself, through other interfaces`: of("iface bond0 inet manual\nbond-slaves a.7\niface a.7 inet manual\nvlan-raw-device bond0"),
		`"v" is a part of itself, through other interfaces`:             of("iface v inet manual\nvlan-raw-device v\nvlan-id 7"),
		`want both vlan-raw-device and vlan-id`:                         of("iface v inet manual\nvlan-raw-device eth0"),
		`VLAN: "5000": want a number from 1 to 4094`:                    of("iface eth0.5000 inet manual"),
		`are both VLAN 7 on "eth0"`:                                     of("iface eth0.7 inet manual\niface vlan7 inet manual\nvlan-raw-device eth0"),
		`want at most 64`:                                               debianOf("dns-search" + numbered(" d%d.com", 65)),
		`want at most 1024`:                                             of("iface eth0 inet6 static" + numbered("\naddress 2001:db8::%x/64", 1025)),
		`there are 1200 addresses: want at most 1024`:                   of("iface a inet6 static" + numbered("\naddress 2001:db8::%x/64", 600) + "\niface b inet6 static" + numbered("\naddress 2001:db8::%x/64", 600)),
		`there are 1200 routes: want at most 1024`:                      of("iface a inet manual" + numbered("\nup ip -6 route add 2001:db8::%x dev a", 600) + "\niface b inet manual" + numbered("\nup ip -6 route add 2001:db8::%x dev b", 600)),
		`want at most 256 interfaces`:                                   of(numbered("iface eth%d inet dhcp\n", 257)),
	} {
		t.Run(want, func(t *testing.T) {
			result, err := Convert(Debian, network)
			if err == nil || !strings.Contains(err.Error(), want) || len(result.Files) > 0 {
				t.Errorf("got %+v, error %v", result, err)
			}
		})
	}
}

// numbered repeats a text with the numbers from 1.
func numbered(format string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i+1)
	}
	return text.String()
}

// TestDebianWarnings checks that lines that are left out are reported, up to a limit.
func TestDebianWarnings(t *testing.T) {
	result, err := Convert(Debian, debianOf(numbered("option%d x\n", 100)))
	if err != nil || len(result.Warnings) != maxWarnings || result.Warnings[0] != `line 3: option "option1" is not known, and left out` {
		t.Errorf("got %q, error %v", result.Warnings, err)
	}
	// More routes than there may be are left out like any other that is wrong.
	result, err = Convert(Debian, debianOf(numbered("up ip route add 2001:db8::%x dev eth0\n", maxRoutes+1)))
	if err != nil || len(result.Warnings) != 1 {
		t.Errorf("got %q, error %v", result.Warnings, err)
	}
}

func FuzzDebian(f *testing.F) {
	for _, name := range []string{"rackspace.debian", "bond.debian"} {
		f.Add(readFile(f, name))
	}
	f.Add([]byte("iface a inet manual\nbond-slaves a.1 b\niface v inet6 auto\nvlan-raw-device a.1\nvlan-id 7\nup ip -6 route add default via fe80::1\nmapping x\nsource y\\\n"))
	f.Add([]byte("iface a inet static\n\x00\niface \x00 can loopback\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) { fuzz(t, Debian, &datasource.Network{Debian: text}) })
}
