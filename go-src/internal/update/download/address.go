package download

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"coreos/internal/cli/redact"
)

// CheckAddress checks an address to which a server sends the machine. A server must not have
// the machine ask services that only the machine reaches: those on the machine itself, and the
// metadata of its platform. A server that is itself on such an address may.
func CheckAddress(from, to *url.URL) error {
	if to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		return fmt.Errorf("%q is not an HTTP URL", redact.URL(to.String()))
	}
	if kind := privateKind(to.Hostname()); kind != "" && kind != privateKind(from.Hostname()) {
		return fmt.Errorf("%s is %s", to.Host, kind)
	}
	return nil
}

// metadataV6 is the metadata service of EC2.
var metadataV6 = netip.MustParseAddr("fd00:ec2::254")

// privateKind returns the kind of a host that this machine reaches and others do not: one on the
// machine itself, or on a link-local or metadata address. It returns "" for all other hosts.
func privateKind(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()
	switch {
	case host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsUnspecified()):
		return "on this machine"
	case host == "metadata.google.internal" || err == nil && (ip.IsLinkLocalUnicast() || ip.WithZone("") == metadataV6):
		return "a link-local or metadata address"
	}
	return ""
}
