package datasource

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/host/treetest"
)

func vendor(t *testing.T, name string) string {
	return filepath.Join(treetest.Dir(t, map[string]string{"sys_vendor": name}), "sys_vendor")
}

// hypervisor has variables.
func hypervisor(variables map[string]string) Guestinfo {
	return func(_ context.Context, name string) (string, error) { return variables[name], nil }
}

func TestVMwareUserData(t *testing.T) {
	url := serve(t, answers{"/config": config, "/base64": base64Of(config)}.ServeHTTP)
	const data, encoding, address = "coreos.config.data", "coreos.config.data.encoding", "coreos.config.url"
	packed := base64Of(string(pack(t, []byte(config))))
	tests := map[string]struct {
		variables map[string]string
		want      string
		wantErr   error
	}{
		"plain":            {map[string]string{data: config}, config, nil},
		"base64":           {map[string]string{data: base64Of(config), encoding: "base64"}, config, nil},
		"gzip+base64":      {map[string]string{data: packed, encoding: "gzip+base64"}, config, nil},
		"gz+b64":           {map[string]string{data: packed, encoding: "gz+b64"}, config, nil},
		"by URL":           {map[string]string{address: url + "config"}, config, nil},
		"by URL in base64": {map[string]string{address: url + "base64", encoding: "base64"}, config, nil},
		"data, not URL":    {map[string]string{data: config, address: nobody}, config, nil},
		"none":             {nil, "", nil},
		"Ignition's":       {map[string]string{"ignition.config.data": "{}"}, "", nil},
		"bad encoding":     {map[string]string{data: config, encoding: "rot13"}, "", ErrInvalid},
		"bad base64":       {map[string]string{data: config, encoding: "base64"}, "", ErrInvalid},
		"bad URL":          {map[string]string{address: "config"}, "", ErrInvalid},
		"properties": {map[string]string{data: "another", "ovfenv": `<Environment xmlns:oe="http://schemas.dmtf.org/ovf/environment/1">
			<PropertySection><Property oe:key="guestinfo.coreos.config.data" oe:value="#!"/></PropertySection></Environment>`}, "#!", nil},
		"bad properties": {map[string]string{data: config, "ovfenv": "<"}, "", ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := &Data{}
			if test.want != "" {
				want.UserData = []byte(strings.TrimSpace(test.want))
			}
			if s := VMwareGuestinfo(vendor(t, "VMware, Inc.\n"), hypervisor(test.variables)); test.wantErr != nil {
				check(t, s, nil, test.wantErr)
			} else if got, err := s.Fetch(t.Context()); err != nil || strings.TrimSpace(string(got.UserData)) != string(want.UserData) {
				t.Errorf("got %+v, error %v", got, err)
			}
		})
	}
	checkTransient(t, VMwareGuestinfo(vendor(t, "VMware, Inc.\n"), hypervisor(map[string]string{address: nobody})))
	check(t, VMwareGuestinfo(vendor(t, "QEMU\n"), hypervisor(map[string]string{data: config})), nil, ErrAbsent)
	check(t, VMwareGuestinfo("/nowhere/sys_vendor", hypervisor(map[string]string{data: config})), nil, ErrAbsent)
}

func vmwareVariables() map[string]string {
	return map[string]string{
		"hostname": "one", "dns.server.0": "8.8.8.8", "dns.server.1": "2001:4860:4860::8888", "dns.server.3": "left out",
		"dns.domain.0": "example.com", "dns.domain.1": "example.org",
		"interface.0.name": "ens192", "interface.0.role": "public",
		"interface.0.ip.0.address": "203.0.113.25/24", "interface.0.ip.1.address": "2001:db8::25/64",
		"interface.0.route.0.gateway": "203.0.113.1", "interface.0.route.0.destination": "0.0.0.0/0",
		"interface.1.mac": "00:50:56:00:00:01", "interface.1.role": "private", "interface.1.ip.0.address": "10.0.0.2/8",
		"interface.2.dhcp": "yes", "interface.2.mac": "00:50:56:00:00:02",
		"interface.4.dhcp": "yes",
	}
}

func vmwareMetadata() Metadata {
	return Metadata{
		Hostname:   "one",
		PublicIPv4: address("203.0.113.25"), PublicIPv6: address("2001:db8::25"), PrivateIPv4: address("10.0.0.2"),
		Network: Network{
			Nameservers: []netip.Addr{address("8.8.8.8"), address("2001:4860:4860::8888")},
			Domains:     []string{"example.com", "example.org"},
			Interfaces: []Interface{
				{
					Name: "ens192", Addresses: []netip.Prefix{prefix("203.0.113.25/24"), prefix("2001:db8::25/64")},
					Routes: []Route{{prefix("0.0.0.0/0"), address("203.0.113.1")}},
				},
				{MAC: net.HardwareAddr{0, 0x50, 0x56, 0, 0, 1}, Addresses: []netip.Prefix{prefix("10.0.0.2/8")}},
				{MAC: net.HardwareAddr{0, 0x50, 0x56, 0, 0, 2}, DHCP: true},
			},
		},
	}
}

func TestVMwareMetadata(t *testing.T) {
	vmware := vendor(t, "VMware, Inc.")
	check(t, VMwareGuestinfo(vmware, hypervisor(vmwareVariables())), &Data{Metadata: vmwareMetadata()}, nil)
	for name, value := range map[string]string{
		"dns.server.0": "x", "interface.0.mac": "x", "interface.0.dhcp": "maybe", "interface.0.role": "middle",
		"interface.0.ip.0.address": "10.0.0.2", "interface.0.route.0.gateway": "10.0.0.1", "interface.0.route.0.destination": "0.0.0.0",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := VMwareGuestinfo(vmware, hypervisor(map[string]string{
				name: value, "interface.0.name": "ens192", "hostname": "one", "coreos.config.data": config,
			})).Fetch(t.Context())
			if err != nil || got.Metadata.Hostname != "one" || string(got.UserData)+"\n" != config {
				t.Fatalf("got %+v, error %v", got, err)
			}
			if n := got.Metadata.Network; n.Problem == nil || !strings.HasPrefix(n.Problem.Error(), "guestinfo.") || n.Interfaces != nil {
				t.Errorf("network %+v", n)
			}
		})
	}
	// A hypervisor that has whatever one asks for has no end.
	endless := func(_ context.Context, name string) (string, error) {
		switch {
		case strings.HasPrefix(name, "dns.domain"):
			return "example.com", nil
		case strings.HasSuffix(name, ".name"):
			return "eth", nil
		}
		return "", nil
	}
	got, err := VMwareGuestinfo(vmware, endless).Fetch(t.Context())
	if err != nil || len(got.Metadata.Network.Interfaces) != maxNumbered || len(got.Metadata.Network.Domains) != maxNumbered {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestVMwareOVF(t *testing.T) {
	const begin = `<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" oe:id="one">
 <PlatformSection><Kind>VMware ESXi</Kind><Vendor>VMware, Inc.</Vendor></PlatformSection><PropertySection>
  <Property oe:key="other" oe:value="42"/>`
	document := begin + `<Property oe:key="guestinfo.coreos.config.data" oe:value="` + base64Of(config) + `"/>
  <Property oe:key="guestinfo.coreos.config.data.encoding" oe:value="base64"/>`
	for name, value := range vmwareVariables() {
		document += `<Property oe:key="guestinfo.` + name + `" oe:value="` + value + `"/>`
	}
	document += `</PropertySection></Environment>`
	dir := treetest.Dir(t, map[string]string{"all": document, "short": document[:len(document)-20], "none": begin + "</PropertySection></Environment>"})
	check(t, VMwareOVF(filepath.Join(dir, "all")), &Data{UserData: []byte(config), Metadata: vmwareMetadata()}, nil)
	check(t, VMwareOVF(filepath.Join(dir, "none")), &Data{}, nil)
	check(t, VMwareOVF(filepath.Join(dir, "short")), nil, ErrInvalid)
	check(t, VMwareOVF(filepath.Join(dir, "nowhere")), nil, ErrAbsent)
}

// TestGuestinfoCommand has a shell do as vmware-rpctool does.
func TestGuestinfoCommand(t *testing.T) {
	const tool = `case "$0" in
"info-get guestinfo.hostname") echo one ;;
"info-get guestinfo.text") printf 'a\nb\n\n' ;;
"info-get guestinfo.endless") exec cat /dev/zero ;;
"info-get guestinfo.stalls") exec sleep 60 ;;
"info-get guestinfo.broken") echo "Failed sending message to VMware." >&2; exit 1 ;;
*) echo "No value found" >&2; exit 1 ;;
esac`
	get := GuestinfoCommand("/bin/sh", "-c", tool)
	for name, want := range map[string]string{"hostname": "one", "text": "a\nb\n", "other": ""} {
		if got, err := get(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: got %q, error %v", name, got, err)
		}
	}
	check(t, guestinfoSource(get, "endless"), nil, ErrTooLarge)
	checkTransient(t, guestinfoSource(get, "broken"))
	check(t, guestinfoSource(GuestinfoCommand("/nowhere/vmtoolsd", "--cmd"), "hostname"), nil, ErrAbsent)
	check(t, guestinfoSource(GuestinfoCommand("no-such-vmware-rpctool"), "hostname"), nil, ErrAbsent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := get(ctx, "stalls"); isFinal(err) {
		t.Errorf("error %v", err)
	}
}

func guestinfoSource(get Guestinfo, name string) Source {
	return source{"guestinfo." + name, func(ctx context.Context) (*Data, error) {
		_, err := get(ctx, name)
		return &Data{}, err
	}}
}

func FuzzOVF(f *testing.F) {
	f.Add([]byte(`<E xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"><PropertySection><Property oe:key="guestinfo.hostname" oe:value="one"/></PropertySection></E>`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseOVF(text) })
}

// FuzzGuestinfo reads variables from lines NAME=VALUE.
func FuzzGuestinfo(f *testing.F) {
	var seed strings.Builder
	for name, value := range vmwareVariables() {
		seed.WriteString(name + "=" + value + "\n")
	}
	f.Add(seed.String())
	f.Fuzz(func(t *testing.T, text string) {
		set := map[string]string{}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(line, "=")
			set[name] = value
		}
		v := variables{ctx: t.Context(), source: hypervisor(set)}
		for _, each := range v.metadata().Network.Interfaces {
			checkInterface(t, each, v.err)
		}
	})
}

// TestMain lets no proxy of the environment stand between the tests and their servers.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}
