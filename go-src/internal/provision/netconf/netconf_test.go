package netconf

import (
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"coreos/internal/provision/datasource"
)

var update = flag.Bool("update", false, "write what is got to testdata/*.want")

// fetch returns the network of a source.
func fetch(t *testing.T, source datasource.Source) *datasource.Network {
	t.Helper()
	data, err := source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &data.Metadata.Network
}

// serve makes a metadata server of one document, and returns its URL.
func serve(t *testing.T, path string, text []byte) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// sample reads a file of testdata as its platform has it.
func sample(t *testing.T, name string) *datasource.Network {
	t.Helper()
	path := filepath.Join("testdata", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case name == "packet.json":
		return fetch(t, datasource.Packet(serve(t, "/metadata", text)))
	case name == "digitalocean.json":
		return fetch(t, datasource.DigitalOcean(serve(t, "/metadata/v1.json", text)))
	case name == "vmware.xml":
		return fetch(t, datasource.VMwareOVF(path))
	case filepath.Ext(name) == ".debian":
		return &datasource.Network{Debian: text}
	}
	return &datasource.Network{OpenStack: text}
}

// join is a result as one text.
func join(result Result) string {
	var text strings.Builder
	for _, warning := range result.Warnings {
		text.WriteString("warning: " + warning + "\n")
	}
	for _, file := range result.Files {
		text.WriteString("=== " + file.Name + "\n" + file.Content)
	}
	return text.String()
}

func TestSamples(t *testing.T) {
	for name, form := range map[string]Form{
		"rackspace.debian": Debian, "bond.debian": Debian, "nova.openstack": OpenStack, "bond.openstack": OpenStack,
		"packet.json": Packet, "digitalocean.json": DigitalOcean, "vmware.xml": VMware,
	} {
		t.Run(name, func(t *testing.T) {
			network := sample(t, name)
			result, err := Convert(form, network)
			if err != nil {
				t.Fatal(err)
			}
			checkFiles(t, result)
			path := filepath.Join("testdata", name+".want")
			if *update {
				if err := os.WriteFile(path, []byte(join(result)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || join(result) != string(want) {
				t.Errorf("got\n%s\nwant %v\n%s", join(result), err, want)
			}
			again, err := Convert(Auto, network)
			if err != nil || join(again) != string(want) {
				t.Errorf("auto makes\n%s\nerror %v", join(again), err)
			}
		})
	}
}

var (
	fileName = regexp.MustCompile(`^zz-cloudinit-[A-Za-z0-9._+-]{1,17}\.(netdev|network)$`)
	fileLine = regexp.MustCompile(`^(|#.*|\[(Match|Link|Network|Route|DHCPv4|DHCPv6|IPv6AcceptRA|NetDev|VLAN|Bond)\]|[A-Za-z0-9]+=[A-Za-z0-9 .:/!*_+-]+)$`)
)

// checkFiles sees to it that nothing is in files that should never be.
func checkFiles(t *testing.T, result Result) {
	t.Helper()
	names := map[string]bool{}
	for _, file := range result.Files {
		if !fileName.MatchString(file.Name) || names[file.Name] || file.Name >= "zz-default.network" {
			t.Errorf("name %q", file.Name)
		}
		names[file.Name] = true
		for line := range strings.SplitSeq(file.Content, "\n") {
			if !fileLine.MatchString(line) {
				t.Errorf("%s: line %q", file.Name, line)
			}
		}
	}
	if len(result.Warnings) > maxWarnings {
		t.Errorf("%d warnings", len(result.Warnings))
	}
}

func TestForms(t *testing.T) {
	debian := &datasource.Network{Debian: []byte("iface eth0 inet dhcp")}
	both := &datasource.Network{Debian: debian.Debian, OpenStack: []byte(`{"links": []}`)}
	for _, test := range []struct {
		form  Form
		has   *datasource.Network
		want  Form
		files int
	}{
		{Auto, &datasource.Network{}, "", 0},
		{Auto, debian, Debian, 1},
		{Auto, both, OpenStack, 0},
		{Debian, both, Debian, 1},
		{OpenStack, debian, "", 0},
		{VMware, debian, "", 0},
	} {
		result, err := Convert(test.form, test.has)
		if err != nil || result.Form != test.want || result.Files == nil || len(result.Files) != test.files {
			t.Errorf("%s: got %+v, error %v", test.form, result, err)
		}
	}
	if form, err := ParseForm("packet"); form != Packet || err != nil {
		t.Errorf("packet is %q, %v", form, err)
	}
	if _, err := ParseForm("netplan"); err == nil || !strings.Contains(err.Error(), Names()) {
		t.Errorf("netplan: %v", err)
	}
}

// content is the one file that a network becomes, without its first lines.
func content(t *testing.T, n *datasource.Network) string {
	t.Helper()
	result, err := Convert(Auto, n)
	if err != nil || len(result.Files) == 0 {
		t.Fatalf("got %+v, error %v", result, err)
	}
	checkFiles(t, result)
	_, text, _ := strings.Cut(result.Files[len(result.Files)-1].Content, "\n\n")
	return text
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func address(text string) netip.Addr { return netip.MustParseAddr(text) }

var mac1, mac2 = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}

func TestList(t *testing.T) {
	for name, test := range map[string]struct {
		network datasource.Network
		want    string
	}{
		"by MAC": {
			datasource.Network{Interfaces: []datasource.Interface{{MAC: mac1, Addresses: []netip.Prefix{prefix("10.0.0.2/24")}}}},
			"[Match]\nPermanentMACAddress=02:00:00:00:00:01\nKind=!*\n\n[Network]\nAddress=10.0.0.2/24\n",
		},
		"a gateway outside": {
			datasource.Network{Interfaces: []datasource.Interface{{
				Name: "ens3", Addresses: []netip.Prefix{prefix("10.0.0.2/32")}, Routes: []datasource.Route{{Destination: prefix("0.0.0.0/0"), Gateway: address("10.9.9.1")}},
			}}},
			"[Match]\nName=ens3\n\n[Network]\nAddress=10.0.0.2/32\n\n[Route]\nDestination=0.0.0.0/0\nGateway=10.9.9.1\nGatewayOnLink=yes\n",
		},
		"a name server that is nowhere": {
			datasource.Network{
				Interfaces:  []datasource.Interface{{Name: "ens3", Addresses: []netip.Prefix{prefix("10.0.0.2/24")}}},
				Nameservers: []netip.Addr{address("192.0.2.1"), address("::ffff:192.0.2.1")}, Domains: []string{"example.com."},
			},
			"[Match]\nName=ens3\n\n[Network]\nAddress=10.0.0.2/24\nDNS=192.0.2.1\nDomains=example.com.\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := content(t, &test.network); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestListErrors(t *testing.T) {
	some := []netip.Prefix{prefix("10.0.0.2/24")}
	with := func(set func(*datasource.Interface)) datasource.Network {
		i := datasource.Interface{Name: "eth0", Addresses: some}
		set(&i)
		return datasource.Network{Interfaces: []datasource.Interface{i}}
	}
	route := func(to, via string) datasource.Network {
		return with(func(i *datasource.Interface) {
			i.Routes = []datasource.Route{{Destination: prefix(to), Gateway: address(via)}}
		})
	}
	tests := map[string]datasource.Network{
		"interface 0: \"a\\nb\"":           with(func(i *datasource.Interface) { i.Name = "a\nb" }),
		"interface 0: \"\": want the name": with(func(i *datasource.Interface) { i.Name = "" }),
		"00:00:00:00:00:00: want":          with(func(i *datasource.Interface) { i.MAC = make(net.HardwareAddr, 6) }),
		"Ethernet interface":               with(func(i *datasource.Interface) { i.MAC = make(net.HardwareAddr, 20) }),
		"no bond \"bond7\"":                with(func(i *datasource.Interface) { i.Bond = "bond7" }),
		"is a part of itself":              with(func(i *datasource.Interface) { i.Bond, i.BondMode = "eth0", "802.3ad" }),
		"\"fast\": want one of":            with(func(i *datasource.Interface) { i.BondMode = "fast" }),
		"address 0.0.0.0/24":               with(func(i *datasource.Interface) { i.Addresses = []netip.Prefix{prefix("0.0.0.0/24")} }),
		"address invalid":                  with(func(i *datasource.Interface) { i.Addresses = []netip.Prefix{{}} }),
		"want both of IPv4":                route("0.0.0.0/0", "2001:db8::1"),
		"gateway fe80::1%…":                route("::/0", "fe80::1%x\n[Match]"),
		"gateway ff02::1":                  route("::/0", "ff02::1"),
		"has no gateway": with(func(i *datasource.Interface) {
			i.Routes = []datasource.Route{{Destination: prefix("::/0")}}
		}),
		"another interface \"eth0\"": {Interfaces: []datasource.Interface{{Name: "eth0", DHCP: true}, {Name: "eth0", DHCP: true}}},
		"have the same MAC":          {Interfaces: []datasource.Interface{{Name: "eth0", MAC: mac1, DHCP: true}, {Name: "eth1", MAC: mac1, DHCP: true}}},
		"name server 0: \"fe80::1%a": {Interfaces: []datasource.Interface{{Name: "eth0", DHCP: true}}, Nameservers: []netip.Addr{address("fe80::1%a\nb")}},
		"search domains: \"a\\nb\"":  {Interfaces: []datasource.Interface{{Name: "eth0", DHCP: true}}, Domains: []string{"a\nb"}},
		"at most 256 interfaces":     {Interfaces: many(257)},
		"has addresses or routes": {Interfaces: []datasource.Interface{
			{Name: "eth0", MAC: mac2, DHCP: true, Bond: "bond0"}, {Name: "bond0", BondMode: "802.3ad"},
		}},
		"the bond \"bond1\" is a part": {Interfaces: []datasource.Interface{
			{Name: "bond1", BondMode: "802.3ad", Bond: "bond0"}, {Name: "bond0", BondMode: "802.3ad"},
		}},
	}
	for want, network := range tests {
		t.Run(want, func(t *testing.T) {
			result, err := Convert(Auto, &network)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || len(result.Files) > 0 {
				t.Errorf("got %+v, error %v", result, err)
			}
		})
	}
}

func many(n int) []datasource.Interface {
	interfaces := make([]datasource.Interface, n)
	for i := range interfaces {
		interfaces[i] = datasource.Interface{MAC: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}, DHCP: true}
	}
	return interfaces
}
