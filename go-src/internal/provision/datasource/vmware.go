package datasource

import (
	"context"
	"fmt"
)

// VMwareGuestinfo are the guestinfo variables of a VMware hypervisor:
//
//	hostname
//	interface.N.name, .mac, .dhcp (yes, no), .role (public, private)
//	interface.N.ip.N.address (10.0.0.2/24), .route.N.gateway, .route.N.destination
//	dns.server.N, dns.domain.N
//	coreos.config.data, coreos.config.data.encoding ("", base64, gzip+base64)
//	coreos.config.url, the URL of user-data if coreos.config.data is not set
//
// Numbers are consecutive from 0 to 63 at most. Properties of an OVF environment, if the
// hypervisor has one, have priority over variables. The source is ErrAbsent if the vendor
// file, which is VendorFile except in tests, does not name VMware.
func VMwareGuestinfo(vendorFile string, get Guestinfo) Source {
	return source{"VMware guestinfo", func(ctx context.Context) (*Data, error) {
		if err := checkDMI(ctx, vendorFile, "VMware"); err != nil {
			return nil, err
		}
		environment, err := get(ctx, "ovfenv")
		if err != nil {
			return nil, err
		}
		if environment == "" {
			return fetchVMware(ctx, get)
		}
		properties, err := parseOVF([]byte(environment))
		if err != nil {
			return nil, fmt.Errorf("guestinfo.ovfenv: %w", err)
		}
		return fetchVMware(ctx, func(ctx context.Context, name string) (string, error) {
			if value := properties["guestinfo."+name]; value != "" {
				return value, nil
			}
			return get(ctx, name)
		})
	}}
}

func fetchVMware(ctx context.Context, get Guestinfo) (*Data, error) {
	text, err := vmwareUserData(ctx, get)
	if err != nil {
		return nil, err
	}
	v := variables{ctx: ctx, source: get}
	m := v.metadata()
	if v.err != nil {
		return nil, v.err
	}
	return &Data{UserData: text, Metadata: m}, nil
}

func vmwareUserData(ctx context.Context, get Guestinfo) ([]byte, error) {
	v := variables{ctx: ctx, source: get}
	text := []byte(v.get("coreos.config.data"))
	encoding, address := v.get("coreos.config.data.encoding"), ""
	if len(text) == 0 {
		address = v.get("coreos.config.url")
	}
	if v.err != nil {
		return nil, v.err
	}
	if address != "" {
		var err error
		if text, err = download(ctx, address); err != nil {
			return nil, fmt.Errorf("guestinfo.coreos.config.url: %w", err)
		}
	}
	switch encoding {
	case "", "gz", "gzip":
		return text, nil
	case "b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		text, err := decodeBase64(string(text))
		if err != nil {
			return nil, fmt.Errorf("guestinfo.coreos.config.data: %w", err)
		}
		return text, nil
	}
	return nil, fmt.Errorf("%w: guestinfo.coreos.config.data.encoding: %.80q is neither base64 nor gzip+base64", ErrInvalid, encoding)
}
